//! Requests made to be understood in two ways (hostile-cases H1), and requests that are too large (H4).
//!
//! hyper does this work; the tests pin it, so that an update which weakens it is noticed.

use tokio::io::AsyncWriteExt;

use crate::common::{Answer, Server, one, rest};

/// What would be answered second, if the server took the end of the first request for a request of its own.
const SECOND: &str = "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n";

/// RFC 9112 §6.3, §11.2: framing that may be read in two ways is 400, then the connection closes.
#[tokio::test]
async fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let server = Server::plain().await;
    for (what, lines) in [
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        ("a list of lengths", "Content-Length: 5, 6"),
        ("a signed length", "Content-Length: +5"),
        ("a negative length", "Content-Length: -5"),
        ("a hexadecimal length", "Content-Length: 0x10"),
        ("an underscore in the length", "Content-Length: 5_0"),
        ("an empty length", "Content-Length: "),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551621"),
        ("an unknown coding", "Transfer-Encoding: xchunked"),
        ("chunked not last", "Transfer-Encoding: chunked, identity"),
        ("a space before the colon", "Content-Length : 5"),
        ("a space before the name", " Content-Length: 5"),
        ("a folded line", "Transfer-Encoding:\r\n chunked"),
        ("a bare CR", "X: a\rTransfer-Encoding: chunked"),
        ("a NUL", "X: a\0b"),
        ("a line without a colon", "Content-Length"),
    ] {
        let raw = server.raw(format!("POST /echo HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n{SECOND}")).await;
        assert!(raw.starts_with("HTTP/1.1 400"), "{what}: {raw}");
        assert_eq!(raw.matches("HTTP/1.1 ").count(), 1, "{what}: {raw}");
    }
}

/// RFC 9112 §6.1: HTTP/1.0 has no transfer coding.
#[tokio::test]
async fn http_1_0_with_transfer_encoding_is_refused() {
    let lines = "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let raw = Server::plain().await.raw(format!("{lines}{SECOND}")).await;
    assert!(raw.starts_with("HTTP/1.1 400") || raw.starts_with("HTTP/1.0 400"), "{raw}");
    assert_eq!(raw.matches("HTTP/1.").count(), 1, "{raw}");
}

/// RFC 9112 §6.1 leaves a choice for both framings at once: hyper takes the chunks and closes, so nothing after them is
/// ever a request.
#[tokio::test]
async fn a_length_beside_chunks_is_ignored_and_the_connection_closed() {
    let server = Server::plain().await;
    for lines in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let raw =
            server.raw(format!("POST /echo HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n0\r\n\r\n{SECOND}")).await;
        let answer = Answer::from(raw.as_str());
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{lines}");
        assert_eq!(raw.matches("HTTP/1.1 ").count(), 1, "{raw}");
    }
}

/// RFC 9112 §7.1: a chunk that is no chunk ends the connection, and what follows is not read as a request.
#[tokio::test]
async fn broken_chunks_end_the_connection() {
    let server = Server::plain().await;
    for (what, body) in [
        ("a size beyond 64 bits", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a size that is none", "zz\r\nabc\r\n0\r\n\r\n"),
        ("a signed size", "+3\r\nabc\r\n0\r\n\r\n"),
        ("an empty size", "\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF after the size", "3\nabc\r\n0\r\n\r\n"),
        ("a bare LF in the extension", "3;a\nabc\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
    ] {
        let head = "POST /form HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let raw = server.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}{SECOND}")).await;
        assert!(raw.is_empty() || raw.starts_with("HTTP/1.1 400"), "{what}: {raw}");
        assert!(raw.matches("HTTP/1.1 ").count() <= 1, "{what}: {raw}");
    }
}

/// hostile-cases H4: the size and the number of fields are bounded, and the answer says so.
#[tokio::test]
async fn an_oversize_header_is_431_and_an_oversize_address_is_refused() {
    let server = Server::plain().await;
    for size in [33_000, 1 << 20] {
        let large = server.raw(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(size))).await;
        assert!(large.starts_with("HTTP/1.1 431"), "{size}: {large}");
    }
    let many = (0..10_000).map(|n| format!("X{n}: y\r\n")).collect::<String>();
    let many = server.raw(format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let fits = (0..90).map(|n| format!("X{n}: {}\r\n", "y".repeat(300))).collect::<String>();
    assert!(server.raw(format!("GET /hello HTTP/1.1\r\nHost: t\r\n{fits}\r\n")).await.ends_with("hello\n"));
    let address = server.raw(format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "a".repeat(70_000))).await;
    assert!(address.starts_with("HTTP/1.1 414") || address.starts_with("HTTP/1.1 431"), "{address}");
}

/// Bytes that are no HTTP at all get one answer and an end.
#[tokio::test]
async fn rubbish_is_refused() {
    let server = Server::plain().await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n"]
    {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(one(&mut stream).await.status, 400, "{bytes:?}");
        drop(stream.shutdown().await);
        assert_eq!(rest(&mut stream).await, "");
    }
}

/// RFC 9112 §3.2: without a host, or with two, HTTP/1.1 is a bad request; HTTP/1.0 needs none.
#[tokio::test]
async fn the_host_is_named_exactly_once() {
    let server = Server::plain().await;
    for lines in ["", "Host: a\r\nHost: b\r\n"] {
        let raw = server.raw(format!("GET /hello HTTP/1.1\r\n{lines}\r\n")).await;
        assert!(raw.starts_with("HTTP/1.1 400"), "{lines}: {raw}");
    }
    assert!(server.raw("GET /hello HTTP/1.0\r\n\r\n").await.contains(" 200 OK"));
}
