//! The TUN device against the real kernel. Every test enters a network namespace of its own, which needs root and
//! /dev/net/tun; without them it fails and says so. What is sent never leaves the namespace.

// Helpers here are test code too, which clippy.toml's exception for tests does not see.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use tidegate::base::buffer::Buffer;
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::device::{Capabilities, Device, TunError};
use tidegate::ip::output;
use tidegate::wire::checksum::Sum;
use tidegate::wire::ip::{IpHeader, protocol};
use tidegate::wire::packet::{Frame, Offload, Packet};
use tidegate::wire::tcp::{self, Flags, TcpHeader};

const HOST4: &str = "10.77.0.1";
const STACK4: &str = "10.77.0.2";
const HOST6: &str = "fd77::1";
const STACK6: &str = "fd77::2";

/// Puts this test's thread into a fresh network namespace.
fn fresh_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root, for a network namespace of their own");
}

/// Held while a child is started: until it runs its program it shares every descriptor of this process, other tests' too,
/// and keeps their devices alive.
static STARTING_A_CHILD: Mutex<()> = Mutex::new(());

fn ip(arguments: &str) -> String {
    let _guard = STARTING_A_CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    let out = Command::new("ip").args(arguments.split(' ')).output().expect("`ip` of iproute2 is needed");
    assert!(out.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn host() -> HostSide {
    HostSide { addrs: vec![(addr(HOST4), 24), (addr(HOST6), 64)], mtu: None }
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A created and configured device in a fresh namespace.
fn device(offload: bool) -> Tun {
    fresh_namespace();
    let mut tun = Tun::open("tide0", offload).unwrap();
    assert_eq!(tun.configure(&host()), Ok(vec![]));
    tun
}

/// The next packet from the kernel that is wanted; the kernel's multicast reports are not.
fn recv_where(tun: &mut Tun, wanted: impl Fn(&Packet) -> bool) -> Packet {
    loop {
        let mut ready = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ready, PollTimeout::from(5_000u16)), Ok(1), "nothing came within 5 s");
        let mut packets = Vec::new();
        tun.recv(&mut packets, 64).unwrap();
        if let Some(packet) = packets.into_iter().find(|packet| wanted(packet)) {
            return packet;
        }
    }
}

/// The upper protocol of a packet without options or extensions, and where its header starts.
fn transport(packet: &Packet) -> (u8, usize) {
    let bytes = packet.bytes();
    if bytes[0] >> 4 == 4 { (bytes[9], 20) } else { (bytes[6], 40) }
}

/// A TCP or UDP frame from the stack to the host, its checksum complete or left to the device.
fn frame(
    from: SocketAddr,
    to: SocketAddr,
    protocol: u8,
    mut transport: Vec<u8>,
    body: &[u8],
    sum: bool,
) -> Frame {
    let len = transport.len() + body.len();
    let pseudo = Sum::pseudo_header(from.ip(), to.ip(), protocol, len);
    let offset = if protocol == protocol::TCP { tcp::CHECKSUM_OFFSET } else { 6 };
    let field = if sum { pseudo.add(&transport).add(body).checksum() } else { pseudo.folded() };
    transport[offset..offset + 2].copy_from_slice(&field.to_be_bytes());
    let start = output::header_len(to.ip()) as u16;
    let offload = if sum { Offload::None } else { Offload::Checksum { start, offset: offset as u16 } };
    let header = IpHeader { src: from.ip(), dst: to.ip(), protocol, hop_limit: 64, traffic_class: 0 };
    let payload = std::iter::once(Buffer::copy_of(body).into()).collect();
    output::frame(&header, &transport, payload, offload)
}

fn datagram(from: SocketAddr, to: SocketAddr, body: &[u8], sum: bool) -> Frame {
    let words = [from.port(), to.port(), 8 + body.len() as u16, 0];
    let header = words.into_iter().flat_map(u16::to_be_bytes).collect();
    frame(from, to, protocol::UDP, header, body, sum)
}

/// A kernel socket that does not wait for ever for what is lost.
fn socket(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind((at, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn send(tun: &mut Tun, frame: Frame) {
    let mut frames = VecDeque::from([frame]);
    tun.send(&mut frames).unwrap();
    assert!(frames.is_empty());
}

#[test]
fn a_created_device_is_up_with_its_addresses_and_a_long_queue() {
    let tun = device(true);
    assert_eq!((tun.name(), tun.created()), ("tide0", true));
    assert_eq!(tun.capabilities(), Capabilities::offload(1_500));
    let link = ip("link show tide0");
    assert!(link.contains("qlen 2000") && link.contains(",UP"), "{link}");
    let addrs = ip("addr show tide0");
    assert!(addrs.contains("inet 10.77.0.1/24") && addrs.contains("inet6 fd77::1/64"), "{addrs}");
    assert!(!addrs.contains("tentative"), "{addrs}");
}

#[test]
fn the_mtu_is_set_and_told() {
    fresh_namespace();
    let mut tun = Tun::open("tide0", true).unwrap();
    assert_eq!(tun.configure(&HostSide { mtu: Some(9_000), ..host() }), Ok(vec![]));
    assert_eq!(tun.capabilities(), Capabilities::offload(9_000));
    let wrong = tun.configure(&HostSide { mtu: Some(70_000), ..host() });
    assert_eq!(wrong.unwrap_err().to_string(), "cannot set the MTU 70000 of tide0: EINVAL: Invalid argument");
}

/// No route but to the own subnets (and, of the kernel's own making, link-local and multicast).
#[test]
fn only_the_own_subnets_are_routed() {
    let _tun = device(true);
    assert_eq!(ip("-4 route show").lines().count(), 1);
    assert!(ip("-4 route show").starts_with("10.77.0.0/24 dev tide0"));
    let v6 = ip("-6 route show");
    assert!(v6.lines().all(|line| line.starts_with("fd77::/64") || line.starts_with("fe80::/64")), "{v6}");
}

#[test]
fn a_template_gets_a_number_and_two_devices_stand_side_by_side() {
    fresh_namespace();
    let (first, second) = (Tun::open("wave%d", true).unwrap(), Tun::open("wave%d", true).unwrap());
    assert_eq!((first.name(), second.name()), ("wave0", "wave1"));
}

#[test]
fn a_created_device_vanishes_and_its_name_is_free_at_once() {
    fresh_namespace();
    let _guard = STARTING_A_CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..50 {
        let mut tun = Tun::open("tide0", true).unwrap();
        tun.configure(&host()).unwrap();
        drop(tun);
        assert!(if_nametoindex("tide0").is_err());
    }
}

#[test]
fn names_in_use_are_told_apart() {
    let _tun = device(true);
    assert_eq!(Tun::open("tide0", true).err(), Some(TunError::Busy("tide0".into())));
    assert_eq!(Tun::open("lo", true).err(), Some(TunError::NotTun("lo".into())));
}

/// Several queues of one device: what one answers comes back to it, and all have the header or none.
#[test]
fn a_flow_stays_on_the_queue_it_is_answered_from() {
    for offload in [true, false] {
        fresh_namespace();
        let mut first = Tun::open_queues("tide%d", offload).unwrap();
        first.configure(&host()).unwrap();
        let mut queues = [first.another_queue().unwrap(), first];
        assert!(queues.iter().all(|queue| (queue.name(), queue.capabilities().mtu) == ("tide0", 1_500)));
        assert_eq!(queues[0].capabilities(), queues[1].capabilities());
        for turn in [0, 1, 0, 1] {
            let socket = socket(HOST4);
            let (from, to) = (SocketAddr::new(addr(STACK4), 7), socket.local_addr().unwrap());
            send(&mut queues[turn], datagram(from, to, b"hello", true));
            assert_eq!(socket.recv_from(&mut [0; 9]).unwrap(), (5, from));
            socket.send_to(b"back", from).unwrap();
            recv_where(&mut queues[turn], |packet| packet.bytes().ends_with(b"back"));
        }
    }
}

#[test]
fn a_device_of_one_queue_is_told_from_one_of_several() {
    fresh_namespace();
    ip("tuntap add single mode tun");
    ip("tuntap add several mode tun multi_queue");
    assert_eq!(Tun::open_queues("single", true).err(), Some(TunError::OneQueue("single".into())));
    assert_eq!(Tun::open("several", true).err(), Some(TunError::NotTun("several".into())));
    let several = Tun::open_queues("several", true).unwrap();
    assert!(!several.created() && several.another_queue().is_ok());
    let alone = Tun::open("alone", true).unwrap();
    assert_eq!(alone.another_queue().err(), Some(TunError::OneQueue("alone".into())));
}

#[test]
fn an_attached_device_stays_but_loses_what_was_added() {
    fresh_namespace();
    ip("tuntap add tide0 mode tun");
    ip("addr add 10.78.0.1/24 dev tide0");
    ip("addr add fd77::1/64 dev tide0");
    ip("link set tide0 txqueuelen 5000");
    let mut tun = Tun::open("tide0", true).unwrap();
    assert!(!tun.created());
    tun.configure(&host()).unwrap();
    let addrs = ip("addr show tide0");
    assert!(addrs.contains("10.78.0.1/24") && addrs.contains("10.77.0.1/24"), "{addrs}");
    assert!(addrs.contains("qlen 5000"), "{addrs}");
    drop(tun);
    let addrs = ip("addr show tide0");
    assert!(addrs.contains("10.78.0.1/24") && addrs.contains("fd77::1/64"), "{addrs}");
    assert!(!addrs.contains("10.77.0.1"), "{addrs}");
}

/// A device keeps the offload that its last user asked for: without a header that would be super-segments without a mark.
#[test]
fn plain_packets_come_from_a_device_that_offloaded_before() {
    fresh_namespace();
    ip("tuntap add tide0 mode tun");
    let guard = STARTING_A_CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    drop(Tun::open("tide0", true).unwrap());
    let mut tun = Tun::open("tide0", false).unwrap();
    drop(guard);
    tun.configure(&host()).unwrap();
    assert_eq!(tun.capabilities(), Capabilities::plain(1_500));
    let socket = socket(HOST4);
    socket.send_to(b"plain", (STACK4, 9)).unwrap();
    let packet = recv_where(&mut tun, |packet| transport(packet) == (protocol::UDP, 20));
    assert_eq!(packet.offload, Offload::None);
    let sum = Sum::pseudo_header(addr(HOST4), addr(STACK4), protocol::UDP, 13).add(&packet.bytes()[20..]);
    assert!(sum.is_valid(), "the kernel completed the checksum");
}

#[test]
fn a_descriptor_handed_in_offloads_if_it_has_the_header() {
    let tun = device(true);
    let twin = Tun::from_fd(tun.as_fd().try_clone_to_owned().unwrap(), true).unwrap();
    assert_eq!((twin.name(), twin.created()), ("tide0", false));
    assert_eq!(twin.capabilities(), Capabilities::offload(1_500));
    let held_back = Tun::from_fd(tun.as_fd().try_clone_to_owned().unwrap(), false).unwrap();
    assert_eq!(held_back.capabilities(), Capabilities::plain(1_500));

    let plain = Tun::open("tide1", false).unwrap();
    let twin = Tun::from_fd(plain.as_fd().try_clone_to_owned().unwrap(), true).unwrap();
    assert_eq!(twin.capabilities(), Capabilities::plain(1_500));
}

#[test]
fn a_descriptor_of_the_wrong_mode_is_refused() {
    fresh_namespace();
    for (mode, reason) in [
        (tun_tap::Mode::Tun, "prefixes packets with protocol information"),
        (tun_tap::Mode::Tap, "is a TAP device"),
    ] {
        let raw = tun_tap::Iface::new("odd%d", mode).unwrap().into_raw_fd();
        // SAFETY: `into_raw_fd` gave up the descriptor, so this is its only owner.
        #[allow(unsafe_code)]
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        assert_eq!(Tun::from_fd(fd, true).err(), Some(TunError::Descriptor { fd: raw, reason }));
    }
    let loose = fs::File::open("/dev/net/tun").unwrap();
    assert!(Tun::from_fd(loose.into(), true).unwrap_err().to_string().contains("attached to no device"));
}

/// Both versions, with and without offload; IPv6 without waiting for duplicate address detection.
#[test]
fn the_kernels_datagrams_come_out_of_the_device() {
    for offload in [true, false] {
        let mut tun = device(offload);
        for (from, to, start) in [(HOST4, STACK4, 20), (HOST6, STACK6, 40)] {
            let socket = socket(from);
            socket.send_to(b"hello", (to, 7)).unwrap();
            let packet = recv_where(&mut tun, |packet| transport(packet) == (protocol::UDP, start));
            assert_eq!(&packet.bytes()[start + 8..], b"hello");
            let undone = Offload::Checksum { start: start as u16, offset: 6 };
            assert_eq!(packet.offload, if offload { undone } else { Offload::None });
        }
        let counters = tun.counters();
        assert!(counters.reads >= 2 && counters.read_bytes >= 33 + 53, "{counters:?}");
        assert_eq!((counters.invalid, counters.refused), (0, 0));
    }
}

/// Before that, packets to a new address are dropped as misaddressed; many fresh devices, to meet the moment.
#[test]
fn configuring_ends_when_the_kernel_delivers_to_its_ipv6_address() {
    for _ in 0..20 {
        let mut tun = device(true);
        let socket = socket(HOST6);
        let (from, to) = (SocketAddr::new(addr(STACK6), 7), socket.local_addr().unwrap());
        send(&mut tun, datagram(from, to, b"hello", true));
        assert_eq!(socket.recv_from(&mut [0; 9]).unwrap(), (5, from));
    }
}

#[test]
fn datagrams_written_to_the_device_reach_the_kernels_sockets() {
    for offload in [true, false] {
        let mut tun = device(offload);
        for (from, to) in [(STACK4, HOST4), (STACK6, HOST6)] {
            let socket = socket(to);
            let (from, to) = (SocketAddr::new(addr(from), 7), socket.local_addr().unwrap());
            send(&mut tun, datagram(from, to, b"hello", !offload));
            assert_eq!(socket.recv_from(&mut [0; 9]).unwrap(), (5, from));
        }
        let counters = tun.counters();
        assert_eq!((counters.writes, counters.write_bytes, counters.refused), (2, 33 + 53, 0));
    }
}

/// The kernel answers a SYN to a closed port with RST, if it takes the checksum for good.
#[test]
fn a_syn_with_its_checksum_left_to_the_device_is_answered() {
    let mut tun = device(true);
    for (from, to, start) in [(STACK4, HOST4, 20), (STACK6, HOST6, 40)] {
        let (from, to) = (SocketAddr::new(addr(from), 4_000), SocketAddr::new(addr(to), 81));
        let header = TcpHeader { src_port: 4_000, dst_port: 81, flags: Flags::SYN, ..TcpHeader::default() };
        send(&mut tun, frame(from, to, protocol::TCP, header.to_bytes().to_vec(), b"", false));
        let answer = recv_where(&mut tun, |packet| transport(packet) == (protocol::TCP, start));
        let (header, _) = TcpHeader::parse(&answer.bytes()[start..]).unwrap();
        assert_eq!(header.flags, Flags::RST.with(Flags::ACK));
    }
}

/// Both ways: the kernel takes a super-segment of ours as one, and its own come out whole.
#[test]
fn super_segments_pass_whole() {
    let mut tun = device(true);
    for (host, stack, start) in [(HOST4, STACK4, 20), (HOST6, STACK6, 40)] {
        let (from, to) = (SocketAddr::new(addr(stack), 80), SocketAddr::new(addr(host), 81));
        let is_tcp = |packet: &Packet| transport(packet) == (protocol::TCP, start);
        // RFC 3168 §6.1.2: with CWR too, which the first of its segments alone means.
        for flags in [Flags::ACK, Flags::ACK.with(Flags::CWR)] {
            let header = TcpHeader { src_port: 80, dst_port: 81, flags, ..TcpHeader::default() };
            let mut big = frame(from, to, protocol::TCP, header.to_bytes().to_vec(), &[7; 60_000], false);
            big.offload = Offload::Tcp { mss: 1_400, start: start as u16 };
            send(&mut tun, big);
            let answer = recv_where(&mut tun, is_tcp);
            assert_eq!(TcpHeader::parse(&answer.bytes()[start..]).unwrap().0.flags, Flags::RST);
            let mut more = Vec::new();
            tun.recv(&mut more, 64).unwrap();
            assert!(!more.iter().any(is_tcp), "one answer to one segment");
        }

        // A new thread is in the same network namespace.
        let client = std::thread::spawn(move || TcpStream::connect(from).unwrap().write_all(&[7; 50_000]));
        let syn = recv_where(&mut tun, is_tcp);
        let (syn, _) = TcpHeader::parse(&syn.bytes()[start..]).unwrap();
        let reply = TcpHeader {
            src_port: 80,
            dst_port: syn.src_port,
            ack: syn.seq + 1,
            flags: Flags::SYN.with(Flags::ACK),
            window: 65_535,
            options: tcp::Options { mss: Some(1_400), ..Default::default() },
            ..TcpHeader::default()
        };
        let to = SocketAddr::new(addr(host), syn.src_port);
        send(&mut tun, frame(from, to, protocol::TCP, reply.to_bytes().to_vec(), b"", false));
        let data = recv_where(&mut tun, |packet| is_tcp(packet) && packet.bytes().len() > start + 20);
        assert_eq!(data.offload, Offload::Tcp { mss: 1_400, start: start as u16 });
        assert!(data.bytes().len() > 5_000, "{} bytes", data.bytes().len());
        client.join().unwrap().unwrap();
    }
}

/// Both ways, both versions: what the kernel is given with UDP_SEGMENT comes out whole, and it tells the datagrams of ours apart.
#[test]
fn super_datagrams_pass_whole() {
    let mut tun = device(true);
    for (host, stack, start) in [(HOST4, STACK4, 20), (HOST6, STACK6, 40)] {
        let payload: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
        let sender = socket(host);
        setsockopt(&sender, UdpGsoSegment, &1_400).unwrap();
        sender.send_to(&payload, (stack, 7)).unwrap();
        let packet = recv_where(&mut tun, |packet| transport(packet) == (protocol::UDP, start));
        assert_eq!(packet.offload, Offload::Udp { size: 1_400, start: start as u16 });
        assert_eq!(packet.bytes()[start + 8..], payload);

        let receiver = socket(host);
        let (from, to) = (SocketAddr::new(addr(stack), 7), receiver.local_addr().unwrap());
        let mut big = datagram(from, to, &payload, false);
        big.offload = Offload::Udp { size: 1_400, start: start as u16 };
        send(&mut tun, big);
        for wanted in payload.chunks(1_400) {
            let mut buffer = [0; 2_000];
            assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (wanted.len(), from));
            assert_eq!(&buffer[..wanted.len()], wanted);
        }
    }
    let counters = tun.counters();
    assert_eq!((counters.read_supers, counters.write_supers, counters.refused), (2, 2, 0));
}

#[test]
fn a_burst_is_read_up_to_its_limit_and_an_empty_device_gives_nothing() {
    let mut tun = device(true);
    let socket = socket(HOST4);
    (0..10).for_each(|_| assert!(socket.send_to(b"x", (STACK4, 7)).is_ok()));
    let mut packets = Vec::new();
    assert_eq!(tun.recv(&mut packets, 4).unwrap(), 4);
    while tun.recv(&mut packets, 64).unwrap() > 0 {}
    assert_eq!(packets.iter().filter(|packet| transport(packet) == (protocol::UDP, 20)).count(), 10);
}

/// Hostile case P14: one bad frame is counted, and the next one passes.
#[test]
fn a_refused_frame_does_not_stop_the_others() {
    let mut tun = device(true);
    let socket = socket(HOST4);
    let (from, to) = (SocketAddr::new(addr(STACK4), 7), socket.local_addr().unwrap());
    let mut bad = Frame::new(Offload::None);
    bad.push_header(&[0xf5; 20]);
    let mut frames = VecDeque::from([bad, datagram(from, to, b"hello", true)]);
    tun.send(&mut frames).unwrap();
    assert_eq!((frames.len(), tun.counters().refused, tun.counters().writes), (0, 1, 1));
    assert_eq!(socket.recv_from(&mut [0; 9]).unwrap(), (5, from));
}

/// Hostile case P14: link down and up, then the device removed.
#[test]
fn a_link_that_is_down_comes_back_and_a_removed_device_is_an_error() {
    let mut tun = device(true);
    let (from, to) = (SocketAddr::new(addr(STACK4), 7), SocketAddr::new(addr(HOST4), 9));
    let lost = || VecDeque::from([datagram(from, to, b"lost", true)]);
    ip("link set tide0 down");
    let error = tun.send(&mut lost()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    assert_eq!(error.to_string(), "device tide0 is down: bring it up with `ip link set tide0 up`");
    assert_eq!(tun.recv(&mut Vec::new(), 64).unwrap(), 0);
    ip("link set tide0 up");
    send(&mut tun, datagram(from, to, b"fine", true));

    ip("link del tide0");
    let gone = "device tide0 is gone: somebody removed it; start again";
    assert_eq!(tun.send(&mut lost()).unwrap_err().to_string(), gone);
    assert_eq!(tun.recv(&mut Vec::new(), 64).unwrap_err().to_string(), gone);
}

#[test]
fn without_ipv6_the_rest_works_and_the_lack_is_told() {
    fresh_namespace();
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    let mut tun = Tun::open("tide0", true).unwrap();
    assert_eq!(tun.configure(&host()), Ok(vec![TunError::NoIpv6("tide0".into())]));
    assert!(ip("addr show tide0").contains("10.77.0.1/24"));
}
