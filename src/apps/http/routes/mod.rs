//! The table of routes; each file here is one of them.

mod cookies;
mod echo;
mod forms;
mod session;
mod start;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::files::Files;
use super::{Config, errors, page};
use session::Sessions;

/// What the handlers share.
struct Shared {
    files: Option<Files>,
    max_form: usize,
    sessions: Mutex<Sessions>,
}

type App = State<Arc<Shared>>;

/// The routes of the HTTP application.
///
/// ```
/// let router = tidegate::apps::http::router(tidegate::apps::http::Config::default());
/// # let _: axum::Router = router;
/// ```
pub fn router(config: Config) -> Router {
    let shared = Arc::new(Shared {
        files: config.http_root.as_deref().map(Files::new),
        max_form: config.max_form,
        sessions: Mutex::new(Sessions::new(config.max_sessions, config.session_age)),
    });
    Router::new()
        .route("/", get(root))
        .route("/start", get(start::page))
        .route("/favicon.ico", get(icon))
        .route("/hello", get(|| async { "hello\n" }))
        .route("/echo", post(echo::echo))
        .route("/query", get(forms::query))
        .route("/form", get(forms::form).post(forms::posted))
        .route("/cookies", get(cookies::cookies))
        .route("/session", get(session::session))
        .fallback(fallback)
        .layer(DefaultBodyLimit::max(config.max_form))
        .layer(middleware::from_fn(errors::finish))
        .with_state(shared)
}

/// `/` is the index.html of the files, if there is one; else the start page.
async fn root(state: App, request: Request) -> Response {
    match file(&state, bodiless(&request)).await {
        Some(response) => response,
        None => start::page(request).await,
    }
}

async fn icon(state: App, request: Request) -> Response {
    match file(&state, bodiless(&request)).await {
        Some(response) => response,
        None => ([(header::CONTENT_TYPE, "image/svg+xml")], page::ICON).into_response(),
    }
}

/// The file of that name, if files are served and it is there.
async fn file(state: &App, request: Request) -> Option<Response> {
    let files = state.files.as_ref()?;
    Some(files.answer(request).await).filter(|response| response.status() != StatusCode::NOT_FOUND)
}

/// The same request without its body.
fn bodiless(request: &Request) -> Request {
    let mut copy = Request::default();
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    copy.headers_mut().clone_from(request.headers());
    copy
}

async fn fallback(state: App, request: Request) -> Response {
    match &state.files {
        Some(files) => files.answer(request).await,
        // RFC 9110 §9.3.7: `OPTIONS *` asks about the server as a whole.
        None if request.method() == Method::OPTIONS && request.uri().path() == "*" => {
            let mut response = errors::status(StatusCode::NO_CONTENT);
            let methods = HeaderValue::from_static("GET,HEAD,POST,OPTIONS");
            response.headers_mut().insert(header::ALLOW, methods);
            response
        }
        None => errors::status(StatusCode::NOT_FOUND),
    }
}

/// Marks an answer that depends on who asks, so that no cache keeps it.
fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
