//! Streams and listeners behave as tokio's do.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use tidegate::net::{TcpListener, TcpStream};
use tidegate::tcp::config::TcpConfig;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Interest};

use crate::link::{Host, SERVER, SERVER6, hosts, settle};

/// Both ends of a connection, with the hosts that carry it.
pub(crate) async fn connected() -> (TcpStream, TcpStream, (Host, Host)) {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let near = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    let (far, peer) = listener.accept().await.unwrap();
    assert_eq!(near.local_addr().unwrap(), peer);
    assert_eq!(far.peer_addr().unwrap(), peer);
    assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
    (near, far, (server, client))
}

/// RFC 9293 §3.6: one direction closes, the other goes on.
#[tokio::test]
async fn a_shut_down_stream_still_reads() {
    let (mut near, mut far, _hosts) = connected().await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut question = String::new();
    far.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    assert_eq!(near.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

/// tokio: dropping the owned write half shuts down writing; the read half lives on.
#[tokio::test]
async fn dropping_the_write_half_ends_that_direction() {
    let (near, mut far, _hosts) = connected().await;
    let (mut reader, mut writer) = near.into_split();
    writer.write_all(b"last words").await.unwrap();
    drop(writer);
    let mut words = String::new();
    far.read_to_string(&mut words).await.unwrap();
    assert_eq!(words, "last words");
    far.write_all(b"heard").await.unwrap();
    reader.read_exact(&mut [0; 5]).await.unwrap();
}

#[tokio::test]
async fn forgetting_the_write_half_ends_nothing_and_only_twins_reunite() {
    let (near, far, _hosts) = connected().await;
    let (far_reader, far_writer) = far.into_split();
    let (reader, writer) = near.into_split();
    let strangers = reader.reunite(far_writer).unwrap_err();
    let mut far = far_reader.reunite(strangers.1).unwrap();
    writer.forget();
    far.write_all(b"!").await.unwrap();
    let mut reader = strangers.0;
    assert_eq!(reader.read_u8().await.unwrap(), b'!');
    settle().await;
    assert_eq!(far.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "no FIN was sent");
}

/// Buffered reads move ranges out of the stack; every other read sees their rest first.
#[tokio::test]
async fn buffered_and_plain_reads_can_be_mixed() {
    let (mut near, mut far, _hosts) = connected().await;
    near.write_all(b"line one\nline two\nrest").await.unwrap();
    let mut line = String::new();
    far.read_line(&mut line).await.unwrap();
    assert_eq!(line, "line one\n");
    let mut four = [0; 4];
    assert_eq!((far.peek(&mut four).await.unwrap(), &four), (4, b"line"));
    assert_eq!((far.try_read(&mut four).unwrap(), &four), (4, b"line"));
    let (mut reader, _writer) = far.into_split();
    reader.readable().await.unwrap();
    line.clear();
    reader.read_line(&mut line).await.unwrap();
    assert_eq!(line, " two\n");
    reader.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"rest");
}

#[tokio::test]
async fn several_buffers_are_written_as_one_stream() {
    let (mut near, mut far, _hosts) = connected().await;
    assert!(tokio::io::AsyncWrite::is_write_vectored(&near));
    let parts = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    assert_eq!(near.write_vectored(&parts).await.unwrap(), 8);
    let mut whole = [0; 8];
    far.read_exact(&mut whole).await.unwrap();
    assert_eq!(&whole, b"headbody");
}

/// A writer that filled the send buffer is told of room, whether a write found it full or `writable` asks first.
#[tokio::test]
async fn a_full_send_buffer_blocks_until_the_peer_reads() {
    let (near, mut far, _hosts) = connected().await;
    near.writable().await.unwrap();
    let mut written = 0;
    let error = loop {
        match near.try_write(&[7; 100_000]) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let reading = tokio::spawn(async move {
        let mut total = 0;
        let mut buffer = vec![0; 65_536];
        loop {
            match far.read(&mut buffer).await.unwrap() {
                0 => return total,
                len => total += len,
            }
        }
    });
    for _ in 0..20 {
        let ready = near.ready(Interest::WRITABLE).await.unwrap();
        assert!(ready.is_writable());
        // Fills the room up exactly or to the last byte, whichever comes.
        while let Ok(len) = near.try_write(&[7; 50_000]) {
            written += len;
            if len < 50_000 {
                break;
            }
        }
    }
    drop(near);
    assert_eq!(reading.await.unwrap(), written);
}

/// A port without a listener refuses at once, on both IP versions.
#[tokio::test]
async fn a_closed_port_refuses() {
    let (_server, client) = hosts(TcpConfig::default());
    for host in [SERVER, SERVER6] {
        let error = TcpStream::connect(&client.net, (host, 81)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

/// Dropping a stream with unread data resets the connection; the peer's reader hears of it.
#[tokio::test]
async fn a_stream_dropped_with_unread_data_resets() {
    let (mut near, mut far, _hosts) = connected().await;
    near.write_all(b"never read").await.unwrap();
    far.readable().await.unwrap();
    drop(far);
    assert_eq!(near.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    far = near;
    assert!(far.write_all(b"x").await.is_err());
}

/// A listener on `[::]` takes both IP versions, and several tasks may accept from it.
#[tokio::test]
async fn one_listener_serves_many_tasks_and_both_versions() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = Arc::new(TcpListener::bind(&server.net, "[::]:7").await.unwrap());
    let accepting: Vec<_> = (0..4)
        .map(|_| {
            let listener = listener.clone();
            tokio::spawn(async move { listener.accept().await.unwrap().1 })
        })
        .collect();
    settle().await;
    let mut streams = Vec::new();
    for host in [SERVER, SERVER6, SERVER, SERVER6] {
        streams.push(TcpStream::connect(&client.net, (host, 7)).await.unwrap());
    }
    let mut peers = Vec::new();
    for task in accepting {
        peers.push(task.await.unwrap());
    }
    peers.sort();
    let mut own: Vec<_> = streams.iter().map(|stream| stream.local_addr().unwrap()).collect();
    own.sort();
    assert_eq!(peers, own);
}

#[tokio::test]
async fn a_port_is_listened_on_once_and_free_after_drop() {
    let (server, _client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    assert_eq!(listener.local_addr().unwrap(), format!("{SERVER}:7").parse().unwrap());
    let error = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(listener);
    TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let error = TcpListener::bind(&server.net, "10.0.0.9:7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

/// Hostile case M14: dropping the future of a connect gives the attempt up.
#[tokio::test]
async fn a_cancelled_connect_leaves_nothing_behind() {
    let (_server, client) = hosts(TcpConfig::default());
    {
        let connect = TcpStream::connect(&client.net, "10.0.0.77:7");
        tokio::pin!(connect);
        tokio::select! {
            biased;
            result = &mut connect => panic!("nobody is there: {result:?}"),
            () = settle() => {}
        }
    }
    settle().await;
    client.driver.shutdown(std::time::Duration::from_secs(60)).await.unwrap();
}

#[tokio::test]
async fn nodelay_is_kept_and_futures_are_send() {
    let (near, _far, (_server, client)) = connected().await;
    assert!(!near.nodelay().unwrap());
    near.set_nodelay(true).unwrap();
    assert!(near.nodelay().unwrap());
    assert!(near.take_error().unwrap().is_none());
    let net = client.net.clone();
    let second = tokio::spawn(async move { TcpStream::connect(&net, (SERVER, 81)).await.map(drop) });
    second.await.unwrap().unwrap_err();
}
