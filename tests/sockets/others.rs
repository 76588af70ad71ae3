//! UDP sockets and echo requests.

use std::io::ErrorKind;

use tidegate::apps::udp_echo::{self, Guard, Limits};
use tidegate::net::{Ping, PingEvent, UdpSocket};
use tidegate::tcp::config::TcpConfig;

use crate::link::{SERVER, SERVER6, hosts, pattern};

/// RFC 768 over both versions, fragments included.
#[tokio::test]
async fn datagrams_of_any_size_come_whole() {
    let (server, client) = hosts(TcpConfig::default());
    let echo = UdpSocket::bind(&server.net, "[::]:7").await.unwrap();
    tokio::spawn(async move {
        let mut datagram = vec![0; 65_535];
        loop {
            let received = echo.recv_msg(&mut datagram).await.unwrap();
            echo.send_from(&datagram[..received.len], received.to, received.from).await.unwrap();
        }
    });
    for host in [SERVER, SERVER6] {
        let any = if host == SERVER { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(&client.net, any).await.unwrap();
        socket.connect((host, 7)).await.unwrap();
        for len in [0, 1, 1452, 1473, 9000, 60_000] {
            let sent = pattern(len);
            assert_eq!(socket.send(&sent).await.unwrap(), len);
            let mut back = vec![0; 65_535];
            assert_eq!(socket.recv(&mut back).await.unwrap(), len);
            assert!(back[..len] == sent, "{len} bytes differ");
        }
    }
}

/// Hostile case M13: one datagram to a group, in a victim's name, must not draw an answer from each host of the subnet (fraggle).
#[tokio::test]
async fn the_udp_echo_does_not_answer_what_was_sent_to_a_group() {
    let (server, client) = hosts(TcpConfig::default());
    let echo = UdpSocket::bind(&server.net, "[::]:7").await.unwrap();
    let guard = Guard::new(7, Limits::default());
    tokio::spawn(udp_echo::serve(echo, guard, std::future::pending()));
    let socket = UdpSocket::bind(&client.net, "[::]:0").await.unwrap();
    for (group, host) in
        [("10.0.0.255", SERVER), ("255.255.255.255", SERVER), ("224.0.0.1", SERVER), ("ff02::1", SERVER6)]
    {
        socket.send_to(b"all", (group, 7)).await.unwrap();
        socket.send_to(b"one", (host, 7)).await.unwrap();
        let mut back = [0; 3];
        let (_, from) = socket.recv_from(&mut back).await.unwrap();
        assert_eq!((&back, from.ip().to_string().as_str()), (b"one", host), "{group}");
    }
}

/// RFC 1122 §4.1.3.3: a connected socket hears that nobody listens.
#[tokio::test]
async fn a_closed_port_is_told_to_a_connected_socket() {
    let (_server, client) = hosts(TcpConfig::default());
    let socket = UdpSocket::bind(&client.net, "0.0.0.0:0").await.unwrap();
    assert_eq!(socket.recv(&mut [0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
    socket.connect((SERVER, 9)).await.unwrap();
    socket.send(b"?").await.unwrap();
    socket.readable().await.unwrap();
    assert_eq!(socket.recv(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// A sender that outruns the device waits for room instead of losing datagrams on this side.
#[tokio::test]
async fn a_fast_sender_waits_for_the_device() {
    let (server, client) = hosts(TcpConfig::default());
    let sink = UdpSocket::bind(&server.net, (SERVER, 9)).await.unwrap();
    let source = UdpSocket::bind(&client.net, "0.0.0.0:0").await.unwrap();
    let reading = tokio::spawn(async move {
        for number in 0..5_000_u32 {
            let mut datagram = [0; 1000];
            let (len, _) = sink.recv_from(&mut datagram).await.unwrap();
            assert_eq!((len, &datagram[..4]), (1000, &number.to_be_bytes()[..]));
        }
    });
    for number in 0..5_000_u32 {
        let mut datagram = [0; 1000];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        source.send_to(&datagram, (SERVER, 9)).await.unwrap();
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn echo_requests_are_answered_on_both_versions() {
    let (_server, client) = hosts(TcpConfig::default());
    for host in [SERVER, SERVER6] {
        let ping = Ping::open(&client.net, host.parse().unwrap()).unwrap();
        for (seq, len) in [(1, 0), (2, 56), (3, 60_000)] {
            let sent = pattern(len);
            ping.send(seq, &sent).unwrap();
            match ping.recv().await.unwrap() {
                PingEvent::Reply { from, seq: answered, data, .. } => {
                    assert_eq!((from.to_string().as_str(), answered), (host, seq));
                    assert!(*data == *sent);
                }
                event => panic!("{event:?}"),
            }
        }
    }
}

/// Many datagrams in one call, both ways; they arrive as what they are, whatever the link.
#[tokio::test]
async fn datagrams_are_sent_and_read_in_bulk() {
    let (server, client) = hosts(TcpConfig::default());
    let echo = UdpSocket::bind(&server.net, "[::]:7").await.unwrap();
    let guard = Guard::new(7, Limits::default());
    tokio::spawn(udp_echo::serve(echo, guard, std::future::pending()));
    for host in [SERVER, SERVER6] {
        let socket = UdpSocket::bind(&client.net, "[::]:0").await.unwrap();
        let target = (host.parse::<std::net::IpAddr>().unwrap(), 7).into();
        let mut buffer = vec![0; 65_535];
        // The last are fragmented.
        for (len, size) in
            [(0, 9), (100, 1), (10_000, 1_200), (1_200, 1_200), (60_000, 1_400), (9_000, 4_000)]
        {
            let sent = pattern(len);
            assert_eq!(socket.send_segmented(&sent, size, None, target).await.unwrap(), len);
            let mut back = Vec::new();
            while back.len() < len.div_ceil(size).max(1) {
                let received = socket.recv_segmented(&mut buffer).await.unwrap();
                assert_eq!(received.from, target);
                let bytes = &buffer[..received.len];
                back.extend(bytes.chunks(received.stride.max(1)).map(<[u8]>::to_vec));
                back.extend(bytes.is_empty().then(Vec::new));
            }
            assert_eq!(back.concat(), sent);
            assert!(back.iter().rev().skip(1).all(|datagram| datagram.len() == size), "{len} in {size}");
        }
        let refused = async |len, size| {
            socket.send_segmented(&pattern(len), size, None, target).await.unwrap_err().kind()
        };
        assert_eq!(refused(10, 0).await, ErrorKind::InvalidInput);
        assert_eq!(refused(129, 1).await, ErrorKind::InvalidInput);
        assert_eq!(socket.try_recv_segmented(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
