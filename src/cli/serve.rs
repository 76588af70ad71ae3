//! `tidegate serve`: echo, discard, chargen and HTTP behind a TUN device, until a signal comes.

use std::io::Write;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tidegate::apps::serve::Bounds;
use tidegate::apps::{Stop, chargen, discard, echo, http, serve, udp_echo};
use tidegate::driver::Driver;
use tidegate::driver::wire::{Wire, WireCounters};
use tidegate::net::{Net, TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tracing::info;

use super::attach::{self, Attached, Role};
use super::link;
use super::signals::Signals;
use super::threads::Threads;

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
const CHARGEN: u16 = 19;
const HTTP: u16 = 80;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    device: attach::Args,
    /// Directory whose files HTTP serves; a start page without
    #[arg(long, value_name = "DIR")]
    http_root: Option<PathBuf>,
    /// How long connections may go on after SIGTERM or SIGINT; a second signal ends at once
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::duration)]
    grace: Duration,
    /// Queues of the device, each with a stack and a thread of its own
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256),
        conflicts_with_all = ["tun_fd", "link", "link_in", "link_out"]
    )]
    queues: u16,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(root) = &args.http_root {
        let listing = std::fs::read_dir(root);
        listing
            .with_context(|| format!("cannot serve {}: name a directory with --http-root", root.display()))?;
    }
    super::block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let attached = args.device.open_queues(Role::Server, args.queues.into())?;
    let Attached { net, mut driver, mut wire, name, addr, addr6, further } = attached;
    let router = http::router(http::Config { http_root: args.http_root, ..http::Config::default() });
    let services = Services { router, grace: args.grace };
    let mut threads = Threads::start(further, &services).await?;
    let servers = Servers::start(&net, services).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready {name} {addr} {addr6}")
        .and_then(|()| stdout.flush())
        .context("cannot say ready")?;
    let failed = tokio::select! {
        () = signals.next() => None,
        ended = driver.ended() => Some(ended),
        ended = threads.ended() => Some(ended),
        ended = broken(&mut wire) => Some(ended),
    };
    let result = match failed {
        Some(ended) => ended.map(|()| Vec::new()).with_context(|| format!("device {name} failed")),
        None => {
            info!(grace = ?args.grace, "stopping; a second signal ends at once");
            tokio::select! {
                () = signals.next() => Ok(Vec::new()),
                // The threads first: the host's side of the device goes with the first queue.
                result = drain(servers, threads.stop(), driver, args.grace) => result,
            }
        }
    };
    if let Some(counters) = stop_wire(wire).await {
        eprintln!("link {}", link::list(["in", "out"], &counters));
    }
    let mut counters = net.counters();
    let result = result.map(|counted| counted.iter().for_each(|shard| counters.add(shard)));
    eprintln!("counters {counters}");
    result.map(|()| ExitCode::SUCCESS)
}

/// Waits for the link before the stack to fail; for ever without one.
async fn broken(wire: &mut Option<Wire>) -> std::io::Result<()> {
    match wire {
        Some(wire) => wire.ended().await,
        None => std::future::pending().await,
    }
}

/// What the link did; nothing if it failed, which was told by then.
async fn stop_wire(wire: Option<Wire>) -> Option<WireCounters> {
    wire?.stop().await.ok()
}

/// Lets applications end, and what ends `beside` them, then the connections they closed; together within `grace`.
pub(super) async fn drain<T>(
    servers: Servers,
    beside: impl Future<Output = anyhow::Result<T>>,
    driver: Driver,
    grace: Duration,
) -> anyhow::Result<T> {
    let deadline = driver.shared().now() + grace;
    let ((), beside) = tokio::join!(servers.stop(), beside);
    let rest = deadline.since(driver.shared().now());
    driver.shutdown(rest).await.context("the device failed while stopping")?;
    beside
}

/// What the applications of all threads have in common.
#[derive(Clone, Debug)]
pub(super) struct Services {
    router: Router,
    pub(super) grace: Duration,
}

/// The applications, each in a task.
pub(super) struct Servers {
    tasks: JoinSet<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Servers {
    pub(super) async fn start(net: &Net, services: Services) -> anyhow::Result<Self> {
        let (stop, stopped) = Stop::channel();
        let bounds = Bounds { grace: services.grace, ..Bounds::default() };
        let mut tasks = JoinSet::new();
        let listener = listen(net, ECHO).await?;
        let stopping = wait(stopped.clone());
        tasks.spawn(log("echo", serve::accept("echo", listener, bounds, stopping, |s, _, _| echo::run(s))));
        let listener = listen(net, DISCARD).await?;
        let stopping = wait(stopped.clone());
        tasks.spawn(log(
            "discard",
            serve::accept("discard", listener, bounds, stopping, |s, _, _| discard::run(s)),
        ));
        let listener = listen(net, CHARGEN).await?;
        let stopping = wait(stopped.clone());
        let chargen = serve::accept("chargen", listener, bounds, stopping, |s, _, stop| {
            Box::pin(chargen::run(s, stop))
        });
        tasks.spawn(log("chargen", chargen));
        let listener = listen(net, HTTP).await?;
        let limits = http::Limits { bounds, ..http::Limits::default() };
        tasks.spawn(log("http", http::serve(listener, services.router, limits, wait(stopped.clone()))));
        let socket =
            UdpSocket::bind(net, (Ipv6Addr::UNSPECIFIED, ECHO)).await.context("cannot open UDP port 7")?;
        let guard = udp_echo::Guard::new(ECHO, udp_echo::Limits::default());
        let udp = udp_echo::serve(socket, guard, wait(stopped));
        tasks.spawn(async {
            let _ = udp.await;
        });
        Ok(Servers { tasks, stop })
    }

    /// Asks all to stop and waits for them; each bounds its own drain.
    async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Listens on a port of every address of the stack.
async fn listen(net: &Net, port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(net, (Ipv6Addr::UNSPECIFIED, port)).await;
    listener.with_context(|| format!("cannot listen on TCP port {port}"))
}

async fn wait(mut stop: Stop) {
    stop.wait().await;
}

async fn log(name: &'static str, server: impl Future<Output = tidegate::apps::Summary>) {
    let summary = server.await;
    info!(server = name, "stopped: {summary}");
}
