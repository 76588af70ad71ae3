//! The host's side of a TUN device: link up, MTU, queue length and addresses, over rtnetlink (RFC 3549 tells its messages).
//!
//! No ioctl does this as well: SIOCSIFADDR replaces the address of a device made by somebody else, and routes a whole class A
//! network into it until SIOCSIFNETMASK. Routes are left to the kernel, which adds and removes the subnets' own.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recv,
    send, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::TunError;

/// Packets that the device's queue must hold: the kernel's 500 overflow silently with a few fast flows.
const QUEUE_LEN: u32 = 2_000;

/// How the host's side of the device should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSide {
    /// The host's addresses with their prefix lengths; they bring the route to their subnet and no other.
    pub addrs: Vec<(IpAddr, u8)>,
    /// The largest IP packet in bytes; unchanged without.
    pub mtu: Option<u32>,
}

/// Addresses that were added here, perhaps to a device that outlives the process; dropping this removes them.
#[derive(Debug, Default)]
pub(super) struct Added {
    index: u32,
    addrs: Vec<(IpAddr, u8)>,
}

impl Drop for Added {
    fn drop(&mut self) {
        if self.addrs.is_empty() {
            return;
        }
        let Ok(netlink) = Netlink::open() else { return };
        for &(addr, prefix) in &self.addrs {
            // Gone already, with the device or by hand: just as well.
            let _ = netlink.change_address(libc::RTM_DELADDR, 0, self.index, addr, prefix);
        }
    }
}

/// The device's MTU, if this network namespace shows the device.
pub(super) fn mtu(name: &str) -> Option<usize> {
    let link = Netlink::open().ok()?.link(if_nametoindex(name).ok()?).ok()?;
    usize::try_from(link.mtu).ok()
}

/// Whether packets of the TUN device `name` carry the four bytes of protocol information; `None` if this network namespace
/// does not show the device.
pub(super) fn has_packet_info(name: &str) -> Option<bool> {
    Netlink::open().ok()?.link(if_nametoindex(name).ok()?).ok()?.packet_info
}

/// Makes the device `name` what `host` says and returns the addresses to be removed when done. What is right already is
/// not touched, so that an unprivileged process can use a device prepared for it.
pub(super) fn apply(
    name: &str,
    created: bool,
    host: &HostSide,
    softly: &mut Vec<TunError>,
) -> Result<Added, TunError> {
    let fail = |what: &str, errno| TunError::system(format!("{what} {name}"), errno);
    let index = if_nametoindex(name).map_err(|errno| fail("find the device", errno))?;
    let netlink = Netlink::open().map_err(|errno| fail("configure the device", errno))?;
    if created {
        // A point-to-point device without a router: no solicitations. Fails where the kernel has no IPv6, which is said below.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0");
    }
    let link = netlink.link(index).map_err(|errno| fail("read the state of", errno))?;
    if let Some(mtu) = host.mtu.filter(|&mtu| mtu != link.mtu) {
        let set = netlink.change_link(index, false, Some((libc::IFLA_MTU, mtu)));
        set.map_err(|errno| fail(&format!("set the MTU {mtu} of"), errno))?;
    }
    if link.queue_len < QUEUE_LEN
        && let Err(errno) = netlink.change_link(index, false, Some((libc::IFLA_TXQLEN, QUEUE_LEN)))
    {
        softly.push(fail("lengthen the queue of", errno));
    }
    // Up before the addresses, so that these are usable at once.
    if !link.up {
        netlink.change_link(index, true, None).map_err(|errno| fail("bring up", errno))?;
    }
    let mut added = Added { index, addrs: Vec::new() };
    for &(addr, prefix) in &host.addrs {
        if has_address(name, addr) {
            continue;
        }
        match netlink.add_address(index, addr, prefix) {
            Ok(()) => added.addrs.push((addr, prefix)),
            Err(errno) if addr.is_ipv6() && is_no_ipv6(errno) => {
                softly.push(TunError::NoIpv6(name.into()));
            }
            Err(errno) => return Err(fail(&format!("set the address {addr}/{prefix} of"), errno)),
        }
    }
    Ok(added)
}

/// EACCES: switched off by sysctl; the others: not built in, or switched off at boot. No permission is EPERM.
fn is_no_ipv6(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)
}

fn has_address(name: &str, addr: IpAddr) -> bool {
    let ip_of = |storage: SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    getifaddrs().is_ok_and(|mut all| {
        all.any(|one| one.interface_name == name && one.address.and_then(ip_of) == Some(addr))
    })
}

/// What is asked of a link.
#[derive(Debug, Default)]
struct Link {
    up: bool,
    mtu: u32,
    queue_len: u32,
    /// Of a TUN device only.
    packet_info: Option<bool>,
}

/// A socket to the kernel's routing tables; each request is answered before the call returns.
struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> nix::Result<Self> {
        let (family, flags) = (AddressFamily::Netlink, SockFlag::SOCK_CLOEXEC);
        socket(family, SockType::Raw, flags, SockProtocol::NetlinkRoute).map(Netlink)
    }

    fn link(&self, index: u32) -> nix::Result<Link> {
        let answer = self.request(libc::RTM_GETLINK, 0, &ifinfomsg(index, 0, 0))?;
        let body = answer.get(HEADER..).unwrap_or_default();
        let flags = word(body, 8).unwrap_or(0);
        let mut link = Link { up: flags & libc::IFF_UP as u32 != 0, ..Link::default() };
        for (kind, value) in attributes(body.get(IFINFOMSG..).unwrap_or_default()) {
            match kind {
                libc::IFLA_MTU => link.mtu = word(value, 0).unwrap_or(0),
                libc::IFLA_TXQLEN => link.queue_len = word(value, 0).unwrap_or(0),
                libc::IFLA_LINKINFO => link.packet_info = packet_info(value),
                _ => {}
            }
        }
        Ok(link)
    }

    fn change_link(&self, index: u32, up: bool, attr: Option<(u16, u32)>) -> nix::Result<()> {
        let up = if up { libc::IFF_UP as u32 } else { 0 };
        let mut body = ifinfomsg(index, up, up);
        if let Some((kind, value)) = attr {
            push_attribute(&mut body, kind, &value.to_ne_bytes());
        }
        self.request(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    fn change_address(&self, kind: u16, flags: i32, index: u32, addr: IpAddr, prefix: u8) -> nix::Result<()> {
        let (family, bytes, address_flags) = match addr {
            IpAddr::V4(addr) => (libc::AF_INET, addr.octets().to_vec(), 0),
            // RFC 4862 §5.4: nobody to detect a duplicate of; the address is usable without the delay.
            IpAddr::V6(addr) => (libc::AF_INET6, addr.octets().to_vec(), libc::IFA_F_NODAD as u8),
        };
        let mut body = vec![family as u8, prefix, address_flags, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        push_attribute(&mut body, libc::IFA_LOCAL, &bytes);
        push_attribute(&mut body, libc::IFA_ADDRESS, &bytes);
        self.request(kind, flags | libc::NLM_F_ACK, &body).map(drop)
    }

    /// Adds an address and returns when packets to it are delivered.
    fn add_address(&self, index: u32, addr: IpAddr, prefix: u8) -> nix::Result<()> {
        let routes = addr.is_ipv6().then(RouteWatch::open).transpose()?;
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.change_address(libc::RTM_NEWADDR, flags, index, addr, prefix)?;
        routes.map_or(Ok(()), |routes| routes.wait_for(addr))
    }

    /// Sends a request and returns the one message that answers it, its header included.
    fn request(&self, kind: u16, flags: i32, body: &[u8]) -> nix::Result<Vec<u8>> {
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut answer = vec![0; 16_384];
        let len = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        answer.truncate(len);
        // An acknowledgement is an error message with the error 0.
        match (half(&answer, 4), word(&answer, HEADER)) {
            (Some(kind), Some(errno)) if i32::from(kind) == libc::NLMSG_ERROR && errno != 0 => {
                Err(Errno::from_raw((errno as i32).wrapping_neg()))
            }
            _ => Ok(answer),
        }
    }
}

/// Tells when an IPv6 address is in use. The kernel answers RTM_NEWADDR before the address is in its local routing table,
/// which a work queue sees to a moment later; a packet in between is dropped as misaddressed.
struct RouteWatch(OwnedFd);

impl RouteWatch {
    fn open() -> nix::Result<Self> {
        let Netlink(fd) = Netlink::open()?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_IPV6_ROUTE as u32))?;
        // Far beyond what the kernel takes: only so that no start hangs.
        setsockopt(&fd, ReceiveTimeout, &TimeVal::seconds(2))?;
        Ok(RouteWatch(fd))
    }

    fn wait_for(&self, addr: IpAddr) -> nix::Result<()> {
        let mut message = vec![0; 16_384];
        loop {
            let len = recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty())?;
            let route = message.get(HEADER..len).unwrap_or_default();
            let is_local = route.get(RTM_TYPE) == Some(&libc::RTN_LOCAL);
            let to = attributes(route.get(RTMSG..).unwrap_or_default())
                .find(|&(kind, _)| kind == libc::RTA_DST)
                .and_then(|(_, to)| <[u8; 16]>::try_from(to).ok());
            if is_local && to.map(IpAddr::from) == Some(addr) {
                return Ok(());
            }
        }
    }
}

/// Bytes of `struct nlmsghdr` and `struct ifinfomsg`.
const HEADER: usize = 16;
const IFINFOMSG: usize = 16;
/// Bytes of `struct rtmsg`, and where its type lies.
const RTMSG: usize = 12;
const RTM_TYPE: usize = 7;
/// From <linux/if_link.h>.
const IFLA_TUN_PI: u16 = 4;

fn ifinfomsg(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    [index, flags, change].into_iter().for_each(|word| body.extend_from_slice(&word.to_ne_bytes()));
    body
}

/// Appends an attribute: length, kind, value, padded to whole words.
fn push_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(half(bytes, 0)?);
        let attribute = (half(bytes, 2)?, bytes.get(4..len)?);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

/// What the driver's part of `IFLA_LINKINFO` says of IFF_NO_PI.
fn packet_info(link_info: &[u8]) -> Option<bool> {
    let (_, data) = attributes(link_info).find(|&(kind, _)| kind == libc::IFLA_INFO_DATA)?;
    attributes(data).find(|&(kind, _)| kind == IFLA_TUN_PI).map(|(_, value)| value.first() != Some(&0))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_back_and_broken_ones_end_the_list() {
        let mut body = Vec::new();
        push_attribute(&mut body, 3, b"tide0");
        push_attribute(&mut body, 4, &7u32.to_ne_bytes());
        let all: Vec<_> = attributes(&body).collect();
        assert_eq!(all, [(3, &b"tide0"[..]), (4, &7u32.to_ne_bytes()[..])]);
        assert_eq!(attributes(&body[..body.len() - 1]).count(), 1, "cut short");
        assert_eq!(attributes(&[2, 0, 0, 0, 0, 0]).count(), 0, "a length below the attribute's own header");
    }

    #[test]
    fn the_loopback_device_tells_its_mtu() {
        assert!(mtu("lo").is_some_and(|mtu| mtu >= 1_280));
        assert_eq!(mtu("no-such-device"), None);
    }
}
