//! Socket options, urgent data, statistics and closes that wait, from the outside.

use std::io::ErrorKind;
use std::time::Duration;

use tidegate::net::{TcpListener, TcpSocket};
use tidegate::tcp::config::TcpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{SERVER, hosts};
use crate::stream::connected;

/// RFC 9293 §3.9.1.1 (MUST-43) and options that count when a connection is opened.
#[tokio::test]
async fn a_socket_has_an_address_and_options_before_it_connects() {
    let (server, client) = hosts(TcpConfig::default());
    let mut socket = TcpSocket::new(&server.net).unwrap();
    assert_eq!(socket.clone().listen(1).unwrap_err().kind(), ErrorKind::InvalidInput, "no port");
    socket.bind(format!("{SERVER}:7").parse().unwrap());
    socket.options().traffic_class = 0x20;
    let listener = socket.listen(1).unwrap();
    let mut socket = TcpSocket::new(&client.net).unwrap();
    socket.bind("0.0.0.0:4000".parse().unwrap());
    socket.options().max_mss = Some(1_000);
    let near = socket.connect(format!("{SERVER}:7").parse().unwrap()).await.unwrap();
    let (far, peer) = listener.accept().await.unwrap();
    assert_eq!((peer.port(), far.tos().unwrap()), (4_000, 0x20));
    assert!(far.info().unwrap().send_mss <= 1_000 && near.info().unwrap().advertised_mss == 1_000);
}

#[tokio::test]
async fn options_are_kept_and_impossible_ones_refused() {
    let (near, _far, _hosts) = connected().await;
    near.set_ttl(9).unwrap();
    near.set_tos(0xff).unwrap();
    near.set_keepalive(true).unwrap();
    near.set_linger(Some(Duration::from_secs(3))).unwrap();
    near.set_user_timeout(Some(Duration::from_secs(4))).unwrap();
    assert_eq!((near.ttl().unwrap(), near.tos().unwrap(), near.keepalive().unwrap()), (9, 0xfc, true));
    assert_eq!(near.linger().unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(near.options().unwrap().user_timeout, Some(Duration::from_secs(4)));
    for ttl in [0, 256] {
        assert_eq!(near.set_ttl(ttl).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// A listener's options are those of its connections.
#[tokio::test]
async fn streams_inherit_from_their_listener() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    listener.change_options(|options| options.nodelay = true).unwrap();
    assert!(listener.options().unwrap().nodelay);
    let _near = tidegate::net::TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    assert!(listener.accept().await.unwrap().0.nodelay().unwrap());
}

/// RFC 6093: urgent data comes in line, and a read stops in front of the last byte of it.
#[tokio::test]
async fn urgent_data_comes_in_line_with_a_mark() {
    let (mut near, mut far, _hosts) = connected().await;
    near.write_all(b"ab").await.unwrap();
    assert_eq!(near.send_urgent(b"!").await.unwrap(), 1);
    let mut two = [0; 2];
    far.read_exact(&mut two).await.unwrap();
    near.shutdown().await.unwrap();
    let mut rest = Vec::new();
    far.readable().await.unwrap();
    assert!(far.at_mark().unwrap() && far.urgent_left().unwrap() == 1);
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&two, &rest[..], far.urgent_left().unwrap()), (b"ab", &b"!"[..], 0));
}

/// A cork holds, taking it out sends; the statistics tell what is not sent.
#[tokio::test]
async fn a_cork_holds_until_it_is_taken_out() {
    let (mut near, mut far, _hosts) = connected().await;
    near.set_cork(true).unwrap();
    near.write_all(b"held").await.unwrap();
    assert_eq!(near.info().unwrap().not_sent, 4);
    near.set_cork(false).unwrap();
    let mut held = [0; 4];
    far.read_exact(&mut held).await.unwrap();
    assert_eq!((&held, near.info().unwrap().not_sent), (b"held", 0));
}

/// `SO_LINGER`: the close returns when the peer has everything; zero resets.
#[tokio::test]
async fn a_close_lingers_until_the_peer_has_everything() {
    let (mut near, mut far, _hosts) = connected().await;
    near.set_linger(Some(Duration::from_secs(60))).unwrap();
    near.write_all(b"all of it").await.unwrap();
    near.close().await.unwrap();
    let mut all = String::new();
    far.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "all of it");
    let (near, mut far, _hosts) = connected().await;
    near.set_linger(Some(Duration::ZERO)).unwrap();
    near.close().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
