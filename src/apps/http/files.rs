//! Files under the root directory: type, length, ranges, conditional requests (RFC 9110 §13, §14), index.html.
//!
//! tower-http serves; this file decides what may be opened (hostile-cases H5): regular files only, inside the root after
//! every symbolic link is followed, no hidden name. Everything else is a plain 404, so that nothing can be probed.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use tower::ServiceExt;
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, DefaultServeDirFallback, TokioBackend, TokioFile};

/// The files of one directory.
#[derive(Clone)]
pub(super) struct Files(ServeDir<DefaultServeDirFallback, Guarded>);

impl Files {
    pub(super) fn new(root: &Path) -> Self {
        // A root that does not exist yet has no canonical name; until it does every path is a 404.
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self(ServeDir::with_backend(root.clone(), Guarded { root }))
    }

    /// Answers a request for a file.
    pub(super) async fn answer(&self, mut request: Request) -> Response {
        if let Some(condition) = request.headers().get(header::IF_RANGE).cloned()
            && request.headers().contains_key(header::RANGE)
            && self.is_stale(request.uri().clone(), &condition).await
        {
            request.headers_mut().remove(header::RANGE);
        }
        let mut response = self.serve(request).await;
        name_charset(response.headers_mut());
        keep_redirect_here(response.headers_mut());
        response
    }

    async fn serve(&self, request: Request) -> Response {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// RFC 9110 §13.1.5: a range asked with If-Range counts only if the file is still the one the client has.
    async fn is_stale(&self, uri: Uri, condition: &HeaderValue) -> bool {
        let mut head = Request::default();
        *head.method_mut() = Method::HEAD;
        *head.uri_mut() = uri;
        let now = self.serve(head).await;
        // Compared exactly: a weak tag never matches, as the section's strong comparison asks.
        now.status() != StatusCode::OK
            || condition.as_bytes().starts_with(b"W/")
            || ![header::ETAG, header::LAST_MODIFIED]
                .iter()
                .any(|name| now.headers().get(name) == Some(condition))
    }
}

/// Text files are UTF-8 here; without the word some browsers guess.
fn name_charset(headers: &mut HeaderMap) {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return };
    let textual =
        value.starts_with("text/") || value == "application/javascript" || value == "application/json";
    if textual
        && !value.contains("charset")
        && let Ok(value) = HeaderValue::from_str(&format!("{value}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
}

/// A redirect from `//name` to `//name/` would send the browser to the host `name`.
fn keep_redirect_here(headers: &mut HeaderMap) {
    let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else { return };
    if location.starts_with("//")
        && let Ok(value) = HeaderValue::from_str(&format!("/{}", location.trim_start_matches('/')))
    {
        headers.insert(header::LOCATION, value);
    }
}

/// The file system, as far as it may be seen.
#[derive(Clone)]
struct Guarded {
    root: PathBuf,
}

impl Guarded {
    /// The file behind `path` with all links followed, if it may be seen. Blocking.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let hidden = |path: &Path| {
            path.components().any(
                |part| matches!(part, Component::Normal(name) if name.as_encoded_bytes().starts_with(b".")),
            )
        };
        let real = path.canonicalize()?;
        let asked = path.strip_prefix(&self.root).map_err(|_| not_found())?;
        let inside = real.strip_prefix(&self.root).map_err(|_| not_found())?;
        if hidden(asked) || hidden(inside) {
            return Err(not_found());
        }
        let kind = std::fs::metadata(&real)?.file_type();
        // Opening a FIFO would wait for a writer, reading a device might never end.
        if kind.is_file() || kind.is_dir() { Ok(real) } else { Err(not_found()) }
    }

    async fn resolve_async(self, path: PathBuf) -> io::Result<PathBuf> {
        let resolved = tokio::task::spawn_blocking(move || self.resolve(&path)).await;
        // A name that cannot exist, a loop of links, a path too long: all the same to the client.
        resolved.map_err(io::Error::other)?.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => error,
            _ => not_found(),
        })
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Backend for Guarded {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<TokioFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<std::fs::Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let guarded = self.clone();
        Box::pin(async move { TokioBackend.open(guarded.resolve_async(path).await?).await })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let guarded = self.clone();
        Box::pin(async move { TokioBackend.metadata(guarded.resolve_async(path).await?).await })
    }
}
