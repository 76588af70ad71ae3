//! Error answers: one look for all of them, whoever raised them, and the answers that concern every route.
//!
//! hyper itself answers what is no HTTP at all (400, 414, 431), with an empty body.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use super::page::{Form, Page};

/// A sentence for the page, put into a response's extensions by whoever knows more than the status says.
#[derive(Debug, Clone)]
pub(super) struct Detail(pub(super) &'static str);

/// Runs around every route: unknown methods, OPTIONS, error pages and headers that every answer carries.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let form = Form::of(request.headers());
    let method = request.method().clone();
    let mut response = if !host_is_named_once(&request) {
        status(StatusCode::BAD_REQUEST)
    } else if known(&method) {
        next.run(request).await
    } else {
        // RFC 9110 §9.1: an unknown method is 501, one the resource does not allow 405.
        status(StatusCode::NOT_IMPLEMENTED)
    };
    if method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if response.status().is_client_error() || response.status().is_server_error() {
        response = dressed(&response, form);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer that is only a status.
pub(super) fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// RFC 9112 §3.2: HTTP/1.1 without Host, or with two, is a bad request.
fn host_is_named_once(request: &Request) -> bool {
    let count = request.headers().get_all(header::HOST).iter().count();
    count == 1 || (count == 0 && request.version() < Version::HTTP_11)
}

fn known(method: &Method) -> bool {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    KNOWN.contains(method)
}

/// The error as a page; of the old answer only what explains it stays.
fn dressed(error: &Response, form: Form) -> Response {
    let status = error.status();
    let reason = status.canonical_reason().unwrap_or("Error");
    let detail = error.extensions().get::<Detail>().map_or_else(|| explain(status), |detail| detail.0);
    let mut response = Page::new(format!("{} {reason}", status.as_u16())).text(detail).render(form);
    *response.status_mut() = status;
    for name in [header::ALLOW, header::CONTENT_RANGE, header::ACCEPT_RANGES] {
        if let Some(value) = error.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn explain(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request could not be understood.",
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "This address does not take that method; the Allow header names those it takes."
        }
        StatusCode::PRECONDITION_FAILED => "The file is not in the state that the request asked for.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is larger than this address takes.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The request body is not of a type that this address takes.",
        StatusCode::RANGE_NOT_SATISFIABLE => {
            "The file has no such range; Content-Range tells its length. One range at a time."
        }
        StatusCode::NOT_IMPLEMENTED => "This server does not know that method.",
        status if status.is_server_error() => "Something went wrong on the server's side.",
        _ => "The request cannot be answered.",
    }
}
