//! `/query` and `/form`: what the server understood of `?a=1&b=2`, `+`, `%E6%BD%AE` and a posted form.

use axum::body::Body;
use axum::extract::{FromRequest, RawForm, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::errors::{self, Detail};
use super::page::{Form, Page};
use super::{App, uncached};

/// The form page's markup: all of it ours.
const FORM: &str = r#"<form method="post" action="/form" accept-charset="utf-8">
<label for="name">Name</label>
<input type="text" id="name" name="name" value="潮汐 tide &amp; gate">
<label for="message">Message</label>
<textarea id="message" name="message" rows="4">1 + 1 = 2, 100 %</textarea>
<label class="inline"><input type="checkbox" name="agree" value="yes" checked> agree</label>
<button>Send</button>
</form>
"#;

pub(super) async fn query(request: Request) -> Response {
    let raw = request.uri().query().unwrap_or("");
    let page = Page::new("Query")
        .text(format!("Received: {}", if raw.is_empty() { "no query" } else { raw }))
        .table("Understood", pairs(raw.as_bytes()), "Nothing. Try /query?a=1&b=2");
    uncached(page.render(Form::of(request.headers())))
}

pub(super) async fn form(request: Request) -> Response {
    let page = Page::new("Form").markup(FORM);
    match Form::of(request.headers()) {
        Form::Html => page.render(Form::Html),
        Form::Text => {
            page.text("Post to this address, for example: curl -d a=1 -d b=2 …/form").render(Form::Text)
        }
    }
}

pub(super) async fn posted(state: App, request: Request) -> Response {
    // A length that is too large is refused before any of the body is read (hostile-cases H4).
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > state.max_form as u64) {
        return errors::status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return unsupported("A compressed body is not understood here; send it as it is.");
    }
    let form = Form::of(request.headers());
    let body = match RawForm::from_request(request, &()).await {
        Ok(RawForm(body)) => body,
        Err(rejection) if rejection.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return unsupported(
                "Send the form as application/x-www-form-urlencoded; multipart is not understood.",
            );
        }
        Err(rejection) => return rejection.into_response(),
    };
    let page = Page::new("Form").text(format!("Received {} bytes.", body.len()));
    uncached(page.table("Understood", pairs(&body), "An empty form.").render(form))
}

fn unsupported(why: &'static str) -> Response {
    let mut response = errors::status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    *response.body_mut() = Body::empty();
    response.extensions_mut().insert(Detail(why));
    response
}

/// Name and value in the order sent, repeated names kept, `+` as a space, percent-encoded UTF-8 decoded.
/// What is no UTF-8 shows as U+FFFD (WHATWG URL, application/x-www-form-urlencoded parsing).
fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}
