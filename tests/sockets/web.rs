//! `axum::serve` and a hyper client run over our sockets unchanged.

use axum::Router;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tidegate::net::{TcpListener, TcpStream};
use tidegate::tcp::config::TcpConfig;

use crate::link::{SERVER, SERVER6, hosts, pattern};

#[tokio::test]
async fn axum_serves_a_hyper_client() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, "[::]:80").await.unwrap();
    let app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(async |body: Bytes| body));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let body = pattern(1_000_000);
    for host in [SERVER, SERVER6] {
        let stream = TcpStream::connect(&client.net, (host, 80)).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let hello = Request::get("/hello").header("host", "tide").body(Full::<Bytes>::default()).unwrap();
        let answer = sender.send_request(hello).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        let echo = Request::post("/echo")
            .header("host", "tide")
            .body(Full::from(Bytes::from(body.clone())))
            .unwrap();
        let answer = sender.send_request(echo).await.unwrap();
        assert!(answer.into_body().collect().await.unwrap().to_bytes() == body, "the echo differs");
    }
}
