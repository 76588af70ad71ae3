//! A server for the tests: over TCP on the loopback device, or over in-memory pipes where time is paused.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tidegate::apps::http::{Config, Limits, router, serve};
use tidegate::apps::{Listener, Summary};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A running server and the handle that stops it.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Summary>,
}

impl Server {
    pub(crate) async fn start(config: Config, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router(config), limits, async { drop(stopped.await) }));
        Self { addr, stop, task }
    }

    pub(crate) async fn plain() -> Self {
        Self::start(Config::default(), Limits::default()).await
    }

    pub(crate) async fn with_root(root: &Path) -> Self {
        let config = Config { http_root: Some(root.to_owned()), ..Config::default() };
        Self::start(config, Limits::default()).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends the bytes on a connection of their own, closes the sending side, gives all that comes back.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(&mut stream).await
    }

    /// One request on a connection of its own, header lines given without the final empty line.
    pub(crate) async fn ask(&self, head: &str) -> Answer {
        self.raw(format!("{}\r\nHost: test\r\n\r\n", head.replace('\n', "\r\n"))).await.as_str().into()
    }

    pub(crate) async fn stop(self) -> Summary {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// Everything up to the end of the stream.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer that has a Content-Length, and not a byte more.
pub(crate) async fn one(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut answer: Answer = String::from_utf8(head).unwrap().as_str().into();
    let length = answer.header("content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

/// An answer taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A listener whose connections are pipes in memory: with paused time nothing waits on the kernel.
pub(crate) struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, "192.0.2.1:1".parse().unwrap())),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok("192.0.2.2:80".parse().unwrap())
    }
}

/// A server over pipes of `size` bytes, its task, and a way to stop it.
pub(crate) struct PipeServer {
    connections: mpsc::Sender<DuplexStream>,
    size: usize,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Summary>,
}

impl PipeServer {
    pub(crate) fn start(size: usize, limits: Limits) -> Self {
        let (connections, receiver) = mpsc::channel(10);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = serve(Pipes(receiver), router(Config::default()), limits, async { drop(stopped.await) });
        Self { connections, size, stop, task: tokio::spawn(served) }
    }

    pub(crate) async fn connect(&self) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let (client, server) = duplex(self.size);
        self.connections.send(server).await.unwrap();
        client
    }
}
