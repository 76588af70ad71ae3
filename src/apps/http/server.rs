//! HTTP/1.1 connections over hyper: limits, timeouts and the graceful stop. It knows no route.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;
use tracing::debug;

use super::Peer;
use super::conn::{Activity, Tracked, Watched};
use crate::apps::serve::{self, Bounds};
use crate::apps::{Listener, Report, Stop, Summary};

/// Limits of the HTTP server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time, and how long they may go on after the stop.
    pub bounds: Bounds,
    /// How long a connection may be silent before its first request and between requests. At most `header` takes
    /// effect, which runs from the same moment.
    pub idle: Duration,
    /// How long a whole request header may take.
    pub header: Duration,
    /// How long a request body may make no progress, and how long the client may take nothing of a response.
    pub stall: Duration,
    /// How long to read on for a client that still sends when its connection closes (RFC 9112 §9.6).
    pub linger: Duration,
    /// Size of a request header in bytes; above that 431. At least 8192.
    pub header_bytes: usize,
    /// Number of header fields; above that 431.
    pub header_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            idle: Duration::from_secs(30),
            header: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            header_bytes: 32 * 1024,
            header_fields: 100,
        }
    }
}

/// Serves `router` on `listener` until `shutdown` completes; then idle connections close, requests under way are
/// answered, and what lasts longer than the grace period is dropped.
pub async fn serve<L: Listener>(
    listener: L,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Summary {
    let builder = Arc::new(builder(&limits));
    serve::accept("http", listener, limits.bounds, shutdown, move |stream, peer, stop| {
        Box::pin(connection(stream, peer, stop, Arc::clone(&builder), router.clone(), limits))
    })
    .await
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client that sends its FIN after the request still gets its answer (RFC 9293 §3.6).
        .half_close(true)
        // Without a timer the header timeout would be off (hostile-cases H2).
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_header_size(limits.header_bytes.max(8192))
        .max_headers(limits.header_fields)
        // hyper's read and write buffers: also what a pipelining client can make us hold.
        .max_buf_size(128 * 1024);
    builder
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    mut stop: Stop,
    builder: Arc<http1::Builder>,
    router: Router,
    limits: Limits,
) -> Report {
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(Watched::new(stream, &activity, limits));
    let service = service_fn(|request| answer(request, peer, router.clone(), Arc::clone(&activity)));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = stop.wait(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        debug!(%peer, error = %Chain(&error), "connection failed");
    }
    activity.report()
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    router: Router,
    activity: Arc<Activity>,
) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut request = request.map(|body| Body::new(Tracked::new(Body::new(body), &activity)));
    request.extensions_mut().insert(Peer(peer));
    let response = router.oneshot(request).await?;
    // The path is the client's word: control characters would reach the terminal (hostile-cases H7).
    debug!(%peer, %method, path = %path.escape_debug(), status = response.status().as_u16(), "request");
    Ok(response)
}

/// An error with what caused it, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
