//! The accept loop all TCP servers share: a cap on connections, one log line each, a stop with a grace period.
//!
//! Each connection is one task in a set that dies with the loop, so dropping the future of [`accept`] ends everything at
//! once. It does not speak any protocol.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::{info, warn};

use super::Listener;
use crate::driver::clock;
use crate::wire::ip::Endpoint;

/// How long to wait after a failed accept: long enough not to spin while descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of one server.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections served at a time; further ones wait in the listener's accept queue. By default 262,144: idle at 1 KiB each they
    /// take a quarter of the memory that a stack's queues may take by default (1 GiB).
    pub connections: usize,
    /// How long connections may go on after the stop before they are dropped.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 1 << 18, grace: Duration::from_secs(2) }
    }
}

/// What one connection did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Requests answered; 0 for protocols that have none.
    pub requests: u64,
    /// Bytes read from the peer.
    pub received: u64,
    /// Bytes written to the peer.
    pub sent: u64,
}

/// What one server did in its life.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that outlasted the grace period, or whose task panicked.
    pub aborted: u64,
    /// The sum over all connections that ended by themselves.
    pub total: Report,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, aborted, total } = self;
        write!(f, "{connections} connections ({aborted} aborted), ")?;
        if total.requests > 0 {
            write!(f, "{} requests, ", total.requests)?;
        }
        write!(f, "{} bytes in, {} bytes out", total.received, total.sent)
    }
}

/// Tells a connection that the server is stopping.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop signal and the sender that raises it by sending `true`.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Completes once the server is stopping; a second call completes at once.
    pub async fn wait(&mut self) {
        // An error means that the server itself is gone, which is a stop too.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// Serves every connection of `listener` with `handle` until `shutdown` completes, then for `bounds.grace` at most.
///
/// `name` stands in the log line of each connection. What `handle` returns lies in the connection's task as it is: a future written
/// out by hand takes the least room there, that of an `async fn` goes into a box (`Box::pin`).
///
/// ```no_run
/// use tidegate::apps::{echo, serve};
/// use tidegate::apps::slices::Copying;
/// # async fn run() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:7007").await?;
/// let stop = async { drop(tokio::signal::ctrl_c().await) };
/// let echo = |stream, _, _| echo::run(Copying::new(stream));
/// let summary = serve::accept("echo", listener, serve::Bounds::default(), stop, echo).await;
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
pub async fn accept<L, H, F>(
    name: &'static str,
    mut listener: L,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
    handle: H,
) -> Summary
where
    L: Listener,
    H: Fn(L::Stream, SocketAddr, Stop) -> F,
    F: Future<Output = Report> + Unpin + Send + 'static,
{
    let (stop_sender, stop) = Stop::channel();
    let mut summary = Summary::default();
    let mut tasks = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = tasks.join_next() => summary.add(name, ended),
            accepted = listener.accept(), if tasks.len() < bounds.connections => match accepted {
                Ok((stream, peer)) => {
                    summary.connections += 1;
                    let connection = handle(stream, peer, stop.clone());
                    tasks.spawn(Logged { name, peer: peer.into(), start: clock::timer_now(), connection });
                }
                Err(error) => {
                    warn!(server = name, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Closing the listener first refuses newcomers while the others drain.
    drop(listener);
    stop_sender.send_replace(true);
    let drain = async {
        while let Some(ended) = tasks.join_next().await {
            summary.add(name, ended);
        }
    };
    if tokio::time::timeout(bounds.grace, drain).await.is_err() {
        summary.aborted += tasks.len() as u64;
        tasks.shutdown().await;
    }
    summary
}

/// Runs one connection and writes its log line.
struct Logged<F> {
    name: &'static str,
    peer: Endpoint,
    start: tokio::time::Instant,
    connection: F,
}

impl<F: Future<Output = Report> + Unpin> Future for Logged<F> {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        let report = ready!(Pin::new(&mut self.connection).poll(cx));
        let Report { requests, received, sent } = report;
        let (peer, seconds) = (SocketAddr::from(self.peer), self.start.elapsed().as_secs_f64());
        // Left out where there were none: echo has no requests to count.
        let requests = (requests > 0).then_some(requests);
        // Only numbers and addresses: nothing the peer wrote can reach the terminal here (hostile-cases H7).
        info!(
            server = self.name,
            %peer,
            requests,
            received,
            sent,
            seconds = %format_args!("{seconds:.3}"),
            "connection closed"
        );
        Poll::Ready(report)
    }
}

impl Summary {
    fn add(&mut self, name: &'static str, ended: Result<Report, JoinError>) {
        match ended {
            Ok(report) => {
                self.total.requests += report.requests;
                self.total.received += report.received;
                self.total.sent += report.sent;
            }
            Err(error) => {
                self.aborted += 1;
                warn!(server = name, %error, "connection task failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    async fn one_byte(mut stream: TcpStream, _: SocketAddr, _: Stop) -> Report {
        let received = stream.read_u8().await.map_or(0, |_| 1);
        Report { received, ..Report::default() }
    }

    /// hostile-cases H2: above the cap nobody is served until somebody leaves; the waiting client is not refused.
    #[tokio::test]
    async fn a_connection_above_the_cap_waits_in_the_backlog() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let bounds = Bounds { connections: 1, ..Bounds::default() };
        let handle = |mut stream: TcpStream, _, _| {
            Box::pin(async move {
                stream.write_u8(b'!').await.unwrap();
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await.unwrap();
                }
                Report::default()
            })
        };
        let server = tokio::spawn(accept("test", listener, bounds, async { drop(stopped.await) }, handle));
        let mut first = TcpStream::connect(addr).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'!');
        let mut second = TcpStream::connect(addr).await.unwrap();
        // Whatever the server would do about the second it has done before it answers the first so often.
        for _ in 0..10 {
            first.write_u8(b'?').await.unwrap();
            assert_eq!(first.read_u8().await.unwrap(), b'?');
        }
        assert!(second.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'!');
        drop(second);
        stop.send(()).unwrap();
        assert_eq!(server.await.unwrap().connections, 2);
    }

    /// What waits in the task of an idle connection: with the runtime's own it stays within 256 bytes.
    #[test]
    fn an_idle_echo_and_discard_take_less_than_150_bytes_of_their_task() {
        let echo = size_of::<Logged<crate::apps::echo::Run<crate::net::TcpStream>>>();
        let discard = size_of::<Logged<crate::apps::discard::Run<crate::net::TcpStream>>>();
        println!("echo: {echo} bytes, discard: {discard}");
        assert!(echo <= 152 && discard <= 152, "{echo} and {discard}");
    }

    /// The grace period bounds the drain, and what outlasts it is counted.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_outlasts_the_grace_is_aborted_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (began_sender, mut began) = tokio::sync::mpsc::channel::<()>(1);
        let handle = move |stream, peer, stop| {
            let began = began_sender.clone();
            Box::pin(async move {
                began.send(()).await.unwrap();
                one_byte(stream, peer, stop).await
            })
        };
        let server =
            tokio::spawn(accept("test", listener, Bounds::default(), async { drop(stopped.await) }, handle));
        let _silent = TcpStream::connect(addr).await.unwrap();
        began.recv().await.unwrap();
        stop.send(()).unwrap();
        let summary = server.await.unwrap();
        assert_eq!((summary.connections, summary.aborted), (1, 1));
    }

    /// A task that panics is counted and takes nobody with it.
    #[tokio::test]
    async fn a_panicking_connection_does_not_end_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = |mut stream: TcpStream, _, _| {
            Box::pin(async move {
                assert_eq!(stream.read_u8().await.unwrap(), b'a', "the test's own panic");
                Report { received: 1, ..Report::default() }
            })
        };
        let server =
            tokio::spawn(accept("test", listener, Bounds::default(), async { drop(stopped.await) }, handle));
        for byte in [b'x', b'a'] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_u8(byte).await.unwrap();
            let _ = client.read_u8().await;
        }
        stop.send(()).unwrap();
        let summary = server.await.unwrap();
        assert_eq!((summary.connections, summary.aborted, summary.total.received), (2, 1, 1));
    }
}
