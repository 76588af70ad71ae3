//! How connections live and end: keep-alive, pipelining, half-close, timeouts, the graceful stop.

use std::time::Duration;

use tidegate::apps::http::{Config, Limits};
use tidegate::apps::serve::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::{PipeServer, Server, one, rest};

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n";
const MINUTE: Duration = Duration::from_secs(60);

/// RFC 9112 §9.3: the connection persists until one side says close.
#[tokio::test]
async fn a_connection_carries_requests_until_close_is_said() {
    let server = Server::plain().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(HELLO).await.unwrap();
        assert_eq!(one(&mut stream).await.body, "hello\n");
    }
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await.unwrap();
    let last = one(&mut stream).await;
    assert_eq!((last.body.as_str(), last.header("connection")), ("hello\n", Some("close")));
    assert_eq!(rest(&mut stream).await, "");
    let summary = server.stop().await;
    assert_eq!((summary.connections, summary.total.requests), (1, 4));
    assert!(summary.total.received > 130 && summary.total.sent > 400, "{summary}");
}

/// RFC 9112 §9.3: HTTP/1.0 closes unless it asks to be kept.
#[tokio::test]
async fn http_1_0_closes_unless_it_asks_to_be_kept() {
    let server = Server::plain().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("hello\n"));
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
        assert_eq!(one(&mut stream).await.header("connection"), Some("keep-alive"));
    }
}

/// RFC 9112 §9.3.2: a hundred requests in one write are answered in order.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::plain().await;
    let mut stream = server.connect().await;
    let requests: String =
        (0..100).map(|n| format!("GET /query?n={n} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    stream.write_all(requests.as_bytes()).await.unwrap();
    for n in 0..100 {
        let body = one(&mut stream).await.body;
        assert!(body.contains(&format!("  n = {n}\n")), "{n}: {body}");
    }
}

/// Segment borders mean nothing: one byte at a time, header and body, gives the same answer.
#[tokio::test]
async fn a_request_of_one_byte_writes_is_understood() {
    let server = PipeServer::start(1, Limits::default());
    let stream = server.connect().await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let request = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nbytesGET /hello HTTP/1.1\r\nHost: t\r\n\r\n";
    let writing = tokio::spawn(async move {
        for byte in request {
            writer.write_all(&[*byte]).await.unwrap();
            writer.flush().await.unwrap();
        }
    });
    assert_eq!(one(&mut reader).await.body, "bytes");
    assert_eq!(one(&mut reader).await.body, "hello\n");
    writing.await.unwrap();
}

/// RFC 9112 §9.6, hostile-cases H8: the answer to a body nobody reads arrives although the client sends it all first.
#[tokio::test]
async fn an_early_answer_survives_a_body_that_nobody_reads() {
    let server = Server::plain().await;
    let body = vec![b'x'; 10_000_000];
    for path in ["/nothing", "/form"] {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
        let expected = if path == "/form" { "HTTP/1.1 413" } else { "HTTP/1.1 404" };
        request.push_str(std::str::from_utf8(&body).unwrap());
        let answer = server.raw(request).await;
        assert!(answer.starts_with(expected), "{path}: {answer}");
    }
    let summary = server.stop().await;
    assert!(summary.total.received > 20_000_000, "{summary}");
}

/// The same for a header too large, which hyper itself refuses.
#[tokio::test]
async fn the_431_survives_a_header_that_goes_on() {
    let server = Server::plain().await;
    let answer = server.raw(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(5_000_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

fn patient() -> Limits {
    let bounds = Bounds { grace: 60 * MINUTE, ..Bounds::default() };
    Limits { bounds, idle: MINUTE / 6, header: MINUTE / 2, stall: MINUTE, ..Limits::default() }
}

/// hostile-cases H2: who connects and says nothing, or keeps a connection and asks nothing more, is let go.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_the_idle_time() {
    let server = PipeServer::start(10_000, patient());
    let mut silent = server.connect().await;
    assert!(timeout(MINUTE / 6 - Duration::from_secs(1), rest(&mut silent)).await.is_err(), "too early");
    assert_eq!(timeout(Duration::from_secs(2), rest(&mut silent)).await.unwrap(), "");

    let mut kept = server.connect().await;
    kept.write_all(HELLO).await.unwrap();
    assert_eq!(one(&mut kept).await.status, 200);
    assert!(timeout(MINUTE / 6 - Duration::from_secs(1), rest(&mut kept)).await.is_err(), "too early");
    assert_eq!(timeout(Duration::from_secs(2), rest(&mut kept)).await.unwrap(), "");
}

/// hostile-cases H2: a header of one byte every few seconds is never idle, and still ends.
#[tokio::test(start_paused = true)]
async fn a_header_that_trickles_is_cut_off() {
    let server = PipeServer::start(10_000, patient());
    let (mut reader, mut writer) = tokio::io::split(server.connect().await);
    tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    assert!(timeout(MINUTE / 2 - Duration::from_secs(1), reader.read_u8()).await.is_err(), "too early");
    assert_eq!(timeout(Duration::from_secs(3), rest(&mut reader)).await.unwrap(), "");
}

/// hostile-cases H3: a body that stops coming ends the connection; one that trickles on does not.
#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_cut_off_and_a_slow_one_is_not() {
    let server = PipeServer::start(10_000, patient());
    let head = b"POST /form HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n";
    let mut slow = server.connect().await;
    slow.write_all(head).await.unwrap();
    for byte in b"a=bcdefgh" {
        tokio::time::sleep(MINUTE * 5 / 6).await;
        slow.write_all(&[*byte]).await.unwrap();
    }
    assert!(one(&mut slow).await.body.contains("  a = bcdefgh\n"));

    let mut stalled = server.connect().await;
    stalled.write_all(head).await.unwrap();
    let answer = timeout(MINUTE * 2, rest(&mut stalled)).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// hostile-cases H3: a client that takes nothing of its answer is let go: the stop finds no connection left.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let server = PipeServer::start(64, patient());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    tokio::time::sleep(MINUTE * 2).await;
    assert!(rest(&mut stream).await.len() <= 64, "the rest of the answer was dropped");
    server.stop.send(()).unwrap();
    assert_eq!(server.task.await.unwrap().aborted, 0);
}

/// A client that rests longer than the idle time in the middle of its answer, and no longer than a stall, gets the rest.
#[tokio::test(start_paused = true)]
async fn a_rest_in_the_middle_of_an_answer_is_not_idle() {
    let server = PipeServer::start(64, patient());
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    tokio::time::sleep(MINUTE / 2).await;
    assert!(one(&mut stream).await.body.contains("/nothing-here"));
}

/// An answer that takes longer than any idle time is no idle connection.
#[tokio::test(start_paused = true)]
async fn a_slow_echo_is_not_idle() {
    let server = PipeServer::start(10_000, patient());
    let mut stream = server.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        stream.write_all(b"1\r\nx\r\n").await.unwrap();
        tokio::time::sleep(MINUTE * 5 / 6).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("0\r\n\r\n") && answer.matches("1\r\nx\r\n").count() == 20, "{answer}");
}

/// The stop closes idle and silent connections at once, inside any grace.
#[tokio::test(start_paused = true)]
async fn the_stop_closes_idle_connections_at_once() {
    let server = PipeServer::start(10_000, patient());
    let mut idle = server.connect().await;
    idle.write_all(HELLO).await.unwrap();
    assert_eq!(one(&mut idle).await.status, 200);
    let mut silent = server.connect().await;
    silent.flush().await.unwrap();
    server.stop.send(()).unwrap();
    let summary = timeout(Duration::from_millis(1), server.task).await.unwrap().unwrap();
    assert_eq!(summary.aborted, 0);
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
}

/// The stop lets a request under way finish, says close with the answer, and refuses newcomers.
#[tokio::test]
async fn the_stop_lets_a_request_under_way_finish() {
    let server = Server::start(Config::default(), patient()).await;
    let addr = server.addr;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /form HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n").await.unwrap();
    stream
        .write_all(b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(one(&mut stream).await.status, 100, "the request is under way");
    let stopped = tokio::spawn(server.stop());
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"a=b").await.unwrap();
    let answer = one(&mut stream).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(stopped.await.unwrap().aborted, 0);
}
