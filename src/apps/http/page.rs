//! Pages: HTML for browsers, plain text for `curl`, out of the same content.
//!
//! Everything shown is escaped here, in one place (hostile-cases H7).

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("style.css");

/// The icon of every page, inline, so that pages ask for nothing further.
pub(super) const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6e8f"/><path d="M4 14q4-5 8 0t8 0 8 0M4 22q4-5 8 0t8 0 8 0" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>"##;

/// No script, nothing from elsewhere: a page that echoes what it was sent must not run it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'";

/// How the client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Text,
}

impl Form {
    /// Browsers name `text/html`; `curl` and scripts say `*/*` or nothing.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let named = headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("text/html")));
        if named { Self::Html } else { Self::Text }
    }
}

/// What a page shows, in order.
#[derive(Debug, Default)]
pub(super) struct Page {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// A caption, rows of name and value, and what to say when there are none.
    Table(String, Vec<(String, String)>, String),
    /// Our own markup, shown to browsers only.
    Markup(String),
}

impl Page {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new() }
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    pub(super) fn table(
        mut self,
        caption: impl Into<String>,
        rows: Vec<(String, String)>,
        if_empty: impl Into<String>,
    ) -> Self {
        self.parts.push(Part::Table(caption.into(), rows, if_empty.into()));
        self
    }

    /// Adds markup that is trusted: every foreign word in it must have gone through [`escape`].
    pub(super) fn markup(mut self, markup: impl Into<String>) -> Self {
        self.parts.push(Part::Markup(markup.into()));
        self
    }

    /// The page in the given form.
    pub(super) fn render(&self, form: Form) -> Response {
        let mut response = match form {
            Form::Html => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], self.html()).into_response(),
            Form::Text => {
                ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.plain()).into_response()
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }

    fn html(&self) -> String {
        let title = escape(&self.title);
        let icon = ICON.replace('#', "%23").replace('"', "'");
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title} · tidegate</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:image/svg+xml,{icon}\">\n<style>\n{STYLE}</style>\n<main>\n<h1>{title}</h1>\n"
        );
        for part in &self.parts {
            match part {
                Part::Text(text) => html.push_str(&format!("<p>{}</p>\n", escape(text))),
                Part::Markup(markup) => html.push_str(markup),
                Part::Table(caption, rows, if_empty) => table(&mut html, caption, rows, if_empty),
            }
        }
        html.push_str("</main>\n<footer><a href=\"/start\">tidegate</a></footer>\n</html>\n");
        html
    }

    fn plain(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Text(line) => writeln!(text, "{}", visible(line)),
                Part::Markup(_) => Ok(()),
                Part::Table(caption, rows, if_empty) if rows.is_empty() => {
                    writeln!(text, "\n{caption}:\n  {if_empty}")
                }
                Part::Table(caption, rows, _) => {
                    let line = |(name, value): &(String, String)| {
                        format!("  {} = {}\n", visible(name), visible(value))
                    };
                    write!(text, "\n{caption}:\n{}", rows.iter().map(line).collect::<String>())
                }
            };
        }
        text
    }
}

fn table(html: &mut String, caption: &str, rows: &[(String, String)], if_empty: &str) {
    html.push_str(&format!("<h2>{}</h2>\n", escape(caption)));
    if rows.is_empty() {
        html.push_str(&format!("<p class=\"none\">{}</p>\n", escape(if_empty)));
        return;
    }
    html.push_str("<table>\n");
    for (name, value) in rows {
        html.push_str(&format!("<tr><th>{}<td>{}\n", escape(name), escape(value)));
    }
    html.push_str("</table>\n");
}

/// Text as HTML content or attribute value.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text for a terminal: control characters, ESC above all, are shown and not sent; line ends too, since a value with
/// one would pass for two.
fn visible(text: &str) -> String {
    let show = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// hostile-cases H7: what the client sent cannot become markup, nor steer a terminal.
    #[test]
    fn foreign_text_is_escaped_in_both_forms() {
        let nasty = "<script>\"'&\u{1b}[2J\r";
        let page = Page::new("t").text(nasty).table("c", vec![(nasty.into(), nasty.into())], "");
        let html = page.html();
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&lt;script&gt;&quot;&#39;&amp;"));
        let text = page.plain();
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
        assert!(text.contains("<script>\"'&\\u{1b}[2J\\r"), "{text}");
    }

    /// Browsers get HTML; `curl`, which takes anything, gets text.
    #[test]
    fn the_form_follows_accept() {
        let form = |accept: &'static str| {
            Form::of(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(form("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Html);
        assert_eq!(form("*/*"), Form::Text);
        assert_eq!(Form::of(&HeaderMap::new()), Form::Text);
    }
}
