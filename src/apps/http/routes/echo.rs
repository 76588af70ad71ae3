//! `POST /echo`: the body comes back as it arrives, of any size, with the content type it had.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::errors;

pub(super) async fn echo(request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    // Waiting for the first bytes before answering makes hyper send `100 Continue` to a client that asked for it;
    // answering first would leave `curl` waiting for a second (RFC 9110 §10.1.1).
    let first = match body.frame().await {
        Some(Ok(frame)) => Some(frame),
        Some(Err(_)) => return errors::status(StatusCode::BAD_REQUEST),
        None => None,
    };
    let mut response = Response::new(Body::new(Rejoined { first, rest: body }));
    let octets = HeaderValue::from_static("application/octet-stream");
    let kind = head.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(octets);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if let Some(coding) = head.headers.get(header::CONTENT_ENCODING) {
        response.headers_mut().insert(header::CONTENT_ENCODING, coding.clone());
    }
    response
}

/// A body whose first frame was already taken off.
struct Rejoined {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

impl hyper::body::Body for Rejoined {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(first + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(first + upper);
        }
        hint
    }
}
