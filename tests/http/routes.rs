//! What each route answers.

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;

use crate::common::{Server, one};
use tokio::io::AsyncWriteExt;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test]
async fn hello_is_plain_text_with_date_and_length() {
    let answer = Server::plain().await.ask("GET /hello HTTP/1.1").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some("6"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("date").is_some());
}

/// RFC 9110 §9.3.2: the header of GET and no body, on every route that takes GET.
#[tokio::test]
async fn head_gives_the_header_of_get_without_a_body() {
    let server = Server::plain().await;
    for path in ["/", "/hello", "/form", "/query?a=1", "/favicon.ico", "/nothing"] {
        let get = server.ask(&format!("GET {path} HTTP/1.1\nConnection: close")).await;
        let head = server.ask(&format!("HEAD {path} HTTP/1.1\nConnection: close")).await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-length", "content-type"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn the_start_page_is_html_for_browsers_and_text_for_curl() {
    let server = Server::plain().await;
    let page = server.ask(&format!("GET / HTTP/1.1\n{BROWSER}")).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("<a href=\"/hello\">") && page.body.contains("rel=\"icon\""));
    assert!(page.body.contains("You came from 127.0.0.1:"));
    let text = server.ask("GET / HTTP/1.1\nAccept: */*").await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.body.contains("/hello") && !text.body.contains('<'));
    let icon = server.ask("GET /favicon.ico HTTP/1.1").await;
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/svg+xml")));
}

/// Every address that the start page links to answers.
#[tokio::test]
async fn the_links_of_the_start_page_lead_somewhere() {
    let server = Server::plain().await;
    let page = server.ask(&format!("GET / HTTP/1.1\n{BROWSER}")).await;
    let links: Vec<_> =
        page.body.split("href=\"/").skip(1).filter_map(|part| part.split('"').next()).collect();
    assert!(links.len() >= 6, "{links:?}");
    for link in links {
        let path = link.replace("&amp;", "&");
        let expected = if path == "nothing-here" { 404 } else { 200 };
        assert_eq!(server.ask(&format!("GET /{path} HTTP/1.1")).await.status, expected, "{path}");
    }
}

/// `+` is a space, percent-encoded UTF-8 is text, repeated names and their order are kept.
#[tokio::test]
async fn the_query_is_shown_as_understood() {
    let server = Server::plain().await;
    let text = server.ask("GET /query?a=1&b=2&a=x+y&t=%E6%BD%AE%E6%B1%90&p=1%2B1&empty HTTP/1.1").await.body;
    let pairs = "  a = 1\n  b = 2\n  a = x y\n  t = 潮汐\n  p = 1+1\n  empty = \n";
    assert!(text.contains(pairs), "{text}");
    let html = server.ask(&format!("GET /query?a=%3Cscript%3E HTTP/1.1\n{BROWSER}")).await.body;
    assert!(html.contains("<td>&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(server.ask("GET /query HTTP/1.1").await.body.contains("Nothing."));
}

async fn post_form(server: &Server, extra: &str, body: &str) -> (u16, String) {
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let head =
        format!("POST /form HTTP/1.1\r\nHost: t\r\n{kind}\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
    let mut stream = server.connect().await;
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let answer = one(&mut stream).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_posted_form_is_shown_as_understood() {
    let server = Server::plain().await;
    let (status, text) = post_form(&server, "", "name=%E6%BD%AE+tide&x=%3Cb%3E&bad=%FF").await;
    assert_eq!(status, 200);
    assert!(text.contains("  name = 潮 tide\n  x = <b>\n  bad = \u{fffd}\n"), "{text}");
    let (_, html) = post_form(&server, &format!("{BROWSER}\r\n"), "x=%3Cb%3E").await;
    assert!(html.contains("<th>x<td>&lt;b&gt;"), "{html}");
    let page = server.ask(&format!("GET /form HTTP/1.1\n{BROWSER}")).await;
    assert!(page.body.contains("<form method=\"post\" action=\"/form\""));
}

/// hostile-cases H4: refused by its length alone; a chunked one as soon as it has grown too large.
#[tokio::test]
async fn a_form_that_is_too_large_or_of_another_type_is_refused() {
    let server = Server::plain().await;
    let kind = "POST /form HTTP/1.1\nContent-Type: application/x-www-form-urlencoded";
    let answer = server.ask(&format!("{kind}\nContent-Length: 10737418240")).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("larger than this address takes"), "{}", answer.body);
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "x".repeat(40_000));
    let head = format!("{kind}\nHost: t\nTransfer-Encoding: chunked\n\n").replace('\n', "\r\n");
    let raw = server.raw(format!("{head}{chunk}{chunk}0\r\n\r\n")).await;
    assert!(raw.starts_with("HTTP/1.1 413"), "{raw}");
    let answer = server
        .ask("POST /form HTTP/1.1\nContent-Type: multipart/form-data; boundary=x\nContent-Length: 0")
        .await;
    assert_eq!(answer.status, 415);
    assert!(answer.body.contains("multipart is not understood"), "{}", answer.body);
    let answer = server.ask(&format!("{kind}\nContent-Encoding: gzip\nContent-Length: 0")).await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn the_client_keeps_one_count_and_the_server_another() {
    let server = Server::plain().await;
    let first = server.ask("GET /cookies HTTP/1.1").await;
    assert!(first.header("set-cookie").unwrap().starts_with("tide_visits=1; "));
    let second =
        server.ask("GET /cookies HTTP/1.1\nCookie: other=x; tide_visits=1; tide_session=5ec4e7").await;
    assert!(second.header("set-cookie").unwrap().starts_with("tide_visits=2; "));
    assert!(second.body.contains("  other = x\n  tide_visits = 1\n"), "{}", second.body);
    assert!(!second.body.contains("5ec4e7"), "an HttpOnly cookie is not shown to the page");

    let first = server.ask("GET /session HTTP/1.1").await;
    assert!(first.body.contains("session: 1\n"), "{}", first.body);
    let set = first.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let second = server.ask(&format!("GET /session HTTP/1.1\nCookie: {cookie}")).await;
    assert!(second.body.contains("session: 2\n"), "{}", second.body);
    assert_eq!(second.header("cache-control"), Some("no-store"));
    let stranger = server.ask("GET /session HTTP/1.1").await;
    assert!(stranger.body.contains("session: 1\n"));
    assert_ne!(stranger.header("set-cookie"), first.header("set-cookie"));
}

/// RFC 9110 §15.5.6, §9.1, §9.3.7: 405 and OPTIONS name the methods, an unknown method is 501.
#[tokio::test]
async fn errors_are_plain_and_name_what_helps() {
    let server = Server::plain().await;
    let missing = server.ask("GET /nothing HTTP/1.1").await;
    assert_eq!((missing.status, missing.body.lines().next()), (404, Some("404 Not Found")));
    let html = server.ask(&format!("GET /%3Cb%3E HTTP/1.1\n{BROWSER}")).await;
    assert!(html.status == 404 && html.body.contains("<h1>404 Not Found</h1>") && !html.body.contains("<b>"));
    let wrong = server.ask("PUT /hello HTTP/1.1").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET,HEAD")));
    let options = server.ask("OPTIONS /form HTTP/1.1").await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD,POST")));
    assert_eq!(server.ask("OPTIONS * HTTP/1.1").await.status, 204);
    assert_eq!(server.ask("BREW /hello HTTP/1.1").await.status, 501);
    assert!(server.ask("CONNECT example.org:443 HTTP/1.1").await.status >= 400);
}

/// hostile-cases H7: an escape sequence in the address reaches no terminal.
#[tokio::test]
async fn text_answers_carry_no_control_characters() {
    let answer = Server::plain().await.ask("GET /query?x=%1b%5b2J%0d%0aSet-Cookie:%20a HTTP/1.1").await;
    assert!(answer.body.contains("x = \\u{1b}[2J\\r\\nSet-Cookie: a"), "{:?}", answer.body);
    assert!(answer.header("set-cookie").is_none());
}

/// The body comes back while it is still being sent: many times what any buffer holds.
#[tokio::test]
async fn echo_streams_a_large_body_back_with_its_type() {
    let server = Server::plain().await;
    let io = TokioIo::new(server.connect().await);
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let body = Bytes::from((0..8_000_000u32).map(|i| (i % 253) as u8).collect::<Vec<_>>());
    let request = Request::post("/echo").header("host", "t").header("content-type", "image/x-test");
    let response = client.send_request(request.body(Full::new(body.clone())).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "image/x-test");
    assert_eq!(response.headers()["content-length"], "8000000");
    let back = response.into_body().collect().await.unwrap().to_bytes();
    assert!(back == body, "the echo differs");
}

/// RFC 9112 §7.1: a chunked body of unknown length comes back chunked; an empty one comes back empty.
#[tokio::test]
async fn echo_takes_chunked_and_empty_bodies() {
    let server = Server::plain().await;
    let head = "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    let raw = server.raw(format!("{head}3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")).await;
    assert!(raw.starts_with("HTTP/1.1 200"), "{raw}");
    assert!(raw.contains("transfer-encoding: chunked") && !raw.contains("content-length"), "{raw}");
    assert!(raw.contains("abc") && raw.contains("de") && raw.ends_with("0\r\n\r\n"), "{raw}");
    let empty = server.ask("POST /echo HTTP/1.1\nContent-Length: 0").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    assert_eq!(empty.header("content-type"), Some("application/octet-stream"));
}

/// RFC 9110 §10.1.1: the client that waits for `100 Continue` gets it before the answer.
#[tokio::test]
async fn echo_sends_100_continue_before_its_answer() {
    let server = Server::plain().await;
    let mut stream = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(one(&mut stream).await.status, 100);
    stream.write_all(b"body").await.unwrap();
    let answer = one(&mut stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "body"));
}
