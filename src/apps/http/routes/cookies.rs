//! `/cookies`: what the client sent, and a count that the client itself keeps (RFC 6265).

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::page::{Form, Page};
use super::uncached;

/// The cookie that counts visits in the client.
const VISITS: &str = "tide_visits";

pub(super) async fn cookies(request: Request) -> Response {
    let received = received(request.headers());
    let before =
        received.iter().find(|(name, _)| name == VISITS).and_then(|(_, value)| value.parse::<u32>().ok());
    let visits = before.unwrap_or(0).saturating_add(1);
    let page = Page::new("Cookies")
        .text(format!("This answer sets {VISITS}={visits}; a client that keeps it counts on next time."))
        .table("Received", rows(received), "No cookie. Try: curl -c jar -b jar …/cookies, twice");
    let mut response = uncached(page.render(Form::of(request.headers())));
    set(&mut response, &format!("{VISITS}={visits}; Path=/; Max-Age=31536000; SameSite=Lax"));
    response
}

/// The cookies of a request in the order sent (RFC 6265 §5.4, §4.2.1). What is no pair is left out.
pub(super) fn received(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.get_all(header::COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut cookies = Vec::new();
    for line in lines {
        let pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        cookies.extend(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
    }
    cookies
}

/// The cookies to show: the session's id is a secret of the browser, kept even from the page it is on.
fn rows(received: Vec<(String, String)>) -> Vec<(String, String)> {
    let hide = |(name, value): (String, String)| {
        let value = if name == super::session::COOKIE { "(kept secret)".to_owned() } else { value };
        (name, value)
    };
    received.into_iter().map(hide).collect()
}

/// Adds a Set-Cookie line.
pub(super) fn set(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6265 §5.4: pairs parted by semicolons; a value may itself hold an equals sign.
    #[test]
    fn cookies_are_taken_apart_and_rubbish_is_left_out() {
        let line = HeaderValue::from_static("a=1; b=x=y;; rubbish ; c=\"q\"");
        let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(received(&headers), [pair("a", "1"), pair("b", "x=y"), pair("c", "\"q\"")]);
    }
}
