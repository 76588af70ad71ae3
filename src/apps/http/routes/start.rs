//! The start page: what there is to try.

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;

use super::page::{Form, Page, escape};
use crate::apps::http::Peer;

/// What to try over HTTP: address and what it shows.
const ROUTES: [(&str, &str); 7] = [
    ("/hello", "a greeting, and nothing else"),
    ("/query?a=1&b=two+words&c=%E6%BD%AE%E6%B1%90", "what the server understood of a query"),
    ("/form", "send a form and see what arrived"),
    ("/cookies", "a count that your browser keeps"),
    ("/session", "a count that the server keeps"),
    ("/echo", "POST anything, of any size: it comes back"),
    ("/nothing-here", "what an error looks like"),
];

pub(super) async fn page(request: Request) -> Response {
    let form = Form::of(request.headers());
    let host = host(&request);
    let peer = request.extensions().get::<Peer>();
    let you = peer.map_or_else(String::new, |Peer(peer)| format!(" You came from {peer}."));
    let page = Page::new("tidegate").text(format!(
        "This page came through a TCP/IP stack that lives in one process: its own IP, TCP and sockets.{you}"
    ));
    match form {
        Form::Html => page.markup(links()).markup(commands(&host)).render(form),
        Form::Text => {
            let width = ROUTES.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
            let line =
                |page: Page, (path, what): &(&str, &str)| page.text(format!("  {path:width$}  {what}"));
            ROUTES.iter().fold(page.text(""), line).render(form)
        }
    }
}

fn links() -> String {
    let mut html = "<h2>In the browser</h2>\n<table>\n".to_owned();
    for (path, what) in ROUTES {
        let (name, href) = (escape(path.split('?').next().unwrap_or(path)), escape(path));
        let cell = match path {
            "/echo" => format!("<code>{name}</code>"),
            _ => format!("<a href=\"{href}\">{name}</a>"),
        };
        html.push_str(&format!("<tr><th>{cell}<td>{}\n", escape(what)));
    }
    html + "</table>\n"
}

fn commands(host: &str) -> String {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let bare = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    let lines = [
        format!("ping {bare}"),
        format!("echo hello | nc -N {bare} 7"),
        format!("nc {bare} 19 | head"),
        format!("curl http://{host}/hello"),
        format!("curl --data-binary @file http://{host}/echo"),
        format!("curl -c jar -b jar http://{host}/session"),
    ];
    format!("<h2>In a terminal</h2>\n<pre>{}</pre>\n", escape(&lines.join("\n")))
}

/// The name the client used for us. It is shown inside commands to be copied, so anything odd is not repeated.
fn host(request: &Request) -> String {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    if !named.is_empty() && named.bytes().all(plain) { named.to_owned() } else { "10.77.0.2".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_host(host: &str) -> Request {
        Request::builder().header(header::HOST, host).body(axum::body::Body::empty()).unwrap()
    }

    /// A Host made to run a command when the line is pasted is not shown.
    #[test]
    fn only_a_plain_host_is_repeated() {
        assert_eq!(host(&with_host("[fd77::2]:8080")), "[fd77::2]:8080");
        assert_eq!(host(&with_host("x;reboot")), "10.77.0.2");
    }

    /// An IPv6 host stands in brackets in a URL and without them as a word.
    #[test]
    fn commands_name_the_host_as_each_program_wants_it() {
        let html = commands("[fd77::2]:8080");
        assert!(html.contains("ping fd77::2\n") && html.contains("http://[fd77::2]:8080/hello"), "{html}");
        assert!(commands("10.77.0.2").contains("ping 10.77.0.2\n"));
    }
}
