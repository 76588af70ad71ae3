//! Files: types, ranges, conditions, and what must not be served.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::Server;

/// A directory that is removed at the end.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-http-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("sub")).unwrap();
        let root = Self(path);
        root.write("data.txt", "0123456789");
        root.write("empty.bin", "");
        root.write("a b 潮.html", "tide");
        root.write("sub/index.html", "<p>sub");
        root.write(".hidden", "secret");
        root
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_file_has_type_length_date_and_tag() {
    let root = Root::new("type");
    let server = Server::with_root(&root.0).await;
    let file = server.ask("GET /data.txt HTTP/1.1").await;
    assert_eq!((file.status, file.body.as_str()), (200, "0123456789"));
    assert_eq!(file.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(file.header("content-length"), Some("10"));
    assert_eq!(file.header("accept-ranges"), Some("bytes"));
    assert!(file.header("last-modified").is_some() && file.header("etag").is_some());
    let head = server.ask("HEAD /data.txt HTTP/1.1").await;
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("10"), ""));
    let empty = server.ask("GET /empty.bin HTTP/1.1").await;
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
    let named = server.ask("GET /a%20b%20%E6%BD%AE.html HTTP/1.1").await;
    assert_eq!((named.status, named.body.as_str()), (200, "tide"));
    assert_eq!(server.ask("PUT /data.txt HTTP/1.1").await.status, 405);
}

/// RFC 9110 §14.2, §15.5.17, hostile-cases H6: one range is served, what makes no sense is 416, many are not amplified.
#[tokio::test]
async fn ranges_are_served_one_at_a_time() {
    let root = Root::new("range");
    let server = Server::with_root(&root.0).await;
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=4-", 206, "456789", "bytes 4-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=8-100", 206, "89", "bytes 8-9/10"),
    ] {
        let answer = server.ask(&format!("GET /data.txt HTTP/1.1\nRange: {range}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range), "{range}");
    }
    let many = format!("bytes={}", vec!["0-9"; 1000].join(","));
    for range in ["bytes=10-", "bytes=-0", "bytes=18446744073709551615-", "bytes=5-2", many.as_str()] {
        let answer = server.ask(&format!("GET /data.txt HTTP/1.1\nRange: {range}")).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */10")), "{range:.30}");
        assert!(answer.body.len() < 300);
    }
    let partial = server.ask("HEAD /data.txt HTTP/1.1\nRange: bytes=0-3").await;
    assert_eq!(
        (partial.status, partial.header("content-length"), partial.body.as_str()),
        (206, Some("4"), "")
    );
}

/// RFC 9110 §13.2.2: 304 for what the client has, 412 for what it did not expect, If-Range guards a resumed download.
#[tokio::test]
async fn conditional_requests_are_answered() {
    let root = Root::new("conditions");
    let server = Server::with_root(&root.0).await;
    let file = server.ask("GET /data.txt HTTP/1.1").await;
    let (etag, date) = (file.header("etag").unwrap(), file.header("last-modified").unwrap());
    for (condition, status) in [
        (format!("If-None-Match: {etag}"), 304),
        ("If-None-Match: \"other\"".to_owned(), 200),
        ("If-None-Match: *".to_owned(), 304),
        (format!("If-Modified-Since: {date}"), 304),
        ("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 200),
        ("If-Match: \"other\"".to_owned(), 412),
        ("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 412),
        (format!("Range: bytes=0-3\nIf-Range: {date}"), 206),
        ("Range: bytes=0-3\nIf-Range: \"other\"".to_owned(), 200),
        ("Range: bytes=0-3\nIf-Range: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 200),
    ] {
        let answer = server.ask(&format!("GET /data.txt HTTP/1.1\n{condition}")).await;
        assert_eq!(answer.status, status, "{condition}");
        if status == 304 {
            assert_eq!(answer.body, "");
        }
    }
}

/// hostile-cases H5: nothing outside the root, nothing hidden, nothing that is no regular file.
#[tokio::test]
async fn what_is_outside_hidden_or_no_file_is_not_found() {
    let root = Root::new("traversal");
    symlink("/etc/passwd", root.0.join("link")).unwrap();
    symlink("/etc", root.0.join("etc")).unwrap();
    symlink(".hidden", root.0.join("seen")).unwrap();
    symlink("loop", root.0.join("loop")).unwrap();
    symlink("data.txt", root.0.join("good")).unwrap();
    nix::unistd::mkfifo(&root.0.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = Server::with_root(&root.0).await;
    let long = format!("/{}", "a".repeat(300));
    for path in [
        "/../data.txt",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/..%5c..%5cetc/passwd",
        "/sub/../../etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/link",
        "/data.txt%00",
        "/data.txt/",
        "/.hidden",
        "/%2ehidden",
        "/seen",
        "/loop",
        "/fifo",
        "/sub/.git/config",
        "/data.txt/x",
        "/%ff",
        long.as_str(),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = server.ask(&format!("{method} {path} HTTP/1.1")).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(server.ask("GET /good HTTP/1.1").await.body, "0123456789", "a link within the root is fine");
}

#[tokio::test]
async fn a_directory_gives_its_index_or_nothing() {
    let root = Root::new("index");
    let server = Server::with_root(&root.0).await;
    let redirect = server.ask("GET /sub?x=1 HTTP/1.1").await;
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("/sub/?x=1")));
    assert_eq!(server.ask("GET /sub/ HTTP/1.1").await.body, "<p>sub");
    let elsewhere = server.ask("GET //sub HTTP/1.1").await;
    assert_eq!(elsewhere.header("location"), Some("/sub/"), "not to a host named sub");
    std::fs::create_dir(root.0.join("bare")).unwrap();
    assert_eq!(server.ask("GET /bare/ HTTP/1.1").await.status, 404);
}

/// Files stand in for the start page and the icon, but not for the other routes.
#[tokio::test]
async fn the_routes_stay_reachable_beside_the_files() {
    let root = Root::new("routes");
    root.write("hello", "not this");
    let server = Server::with_root(&root.0).await;
    assert!(server.ask("GET / HTTP/1.1").await.body.starts_with("tidegate\n"));
    root.write("index.html", "<p>mine");
    root.write("favicon.ico", "icon");
    assert_eq!(server.ask("GET / HTTP/1.1").await.body, "<p>mine");
    assert_eq!(server.ask("GET / HTTP/1.1\nRange: bytes=3-").await.body, "mine");
    assert_eq!(server.ask("GET /favicon.ico HTTP/1.1").await.body, "icon");
    assert_eq!(server.ask("GET /hello HTTP/1.1").await.body, "hello\n");
    assert!(server.ask("GET /start HTTP/1.1").await.body.starts_with("tidegate\n"));
}

#[tokio::test]
async fn a_root_that_is_missing_serves_the_routes_alone() {
    let server = Server::with_root(Path::new("/nonexistent/tidegate")).await;
    assert_eq!(server.ask("GET /x HTTP/1.1").await.status, 404);
    assert_eq!(server.ask("GET / HTTP/1.1").await.status, 200);
}
