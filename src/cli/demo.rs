//! `tidegate demo`: two stacks in this process fetch a page over HTTP, and the exchange is drawn as a ladder. It needs no
//! privilege and no device; time is virtual, and everything depends on the seed.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tidegate::apps::http;
use tidegate::base::time::Instant;
use tidegate::device::Capabilities;
use tidegate::net::{Net, TcpListener, TcpStream};
use tidegate::sim::{HostId, LinkConfig, Network, run as simulate};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;

use super::ladder::Ladder;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 1));
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 2));
const MTU: usize = 1500;
/// Added to the seed, so that the example which the documents show loses a segment that matters.
const SHIFT: u64 = 29;
/// How often to look whether the connection is closed; it moves no packet.
const GLANCE: Duration = Duration::from_millis(10);

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many packets the link loses, in each direction
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    loss: f64,
    /// How many arrive twice
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    dup: f64,
    /// How many are held back until later ones have overtaken them
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    reorder: f64,
    /// How many are damaged on the way
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    corrupt: f64,
    /// How long a packet takes from one end to the other
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = super::duration)]
    delay: Duration,
    /// The link's rate: bits per second, with an optional k, M or G
    #[arg(long, value_name = "RATE", default_value = "10M", value_parser = rate)]
    rate: u64,
    /// What all chance depends on: the same seed draws the same ladder
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    seed: u64,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut network = Network::new(args.seed.wrapping_add(SHIFT));
    let (client, client_net) = host(&mut network, CLIENT)?;
    let (server, server_net) = host(&mut network, SERVER)?;
    network.connect(client, server, args.link());
    let ladder = Rc::new(RefCell::new(Ladder::new(client)));
    let observed = ladder.clone();
    network.set_tap(move |traced, moment, node| observed.borrow_mut().observe(traced, moment, node));

    let fetched = simulate(&mut network, exchange(client_net, server_net));
    let closed = network.now();
    // TIME-WAIT passes, and then nothing is left to do.
    network.run_while(Duration::from_secs(600), |_| true);
    let fetched = fetched.context("both ends wait for ever")?;

    let mut stdout = std::io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let ladder = ladder.borrow();
    write!(stdout, "{}", ladder.draw(colour))?;
    let (status, len) = fetched?;
    let seconds = |time: Instant| time.as_nanos() as f64 / 1e9;
    let (packets, lost, again) = (ladder.packets(), ladder.lost, ladder.retransmissions);
    writeln!(
        stdout,
        "GET http://{SERVER}/: {status}, {len} bytes; {packets} packets, {lost} lost, {again} sent again.\n\
         Seed {}, {:.3} s of virtual time; TIME-WAIT ended at {:.3} s, both ends CLOSED.",
        args.seed,
        seconds(closed),
        seconds(network.now())
    )?;
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn link(&self) -> LinkConfig {
        LinkConfig {
            mtu: MTU,
            delay: self.delay,
            rate: Some(self.rate),
            loss: self.loss,
            duplicate: self.dup,
            reorder: self.reorder,
            corrupt: self.corrupt,
            ..LinkConfig::default()
        }
    }
}

fn host(network: &mut Network, addr: IpAddr) -> anyhow::Result<(HostId, Net)> {
    let config = StackConfig { addrs: vec![(addr, 24)], tcp: TcpConfig::default() };
    let (host, shared) = network.add_shared_host(config, Capabilities::plain(MTU))?;
    Ok((host, Net::new(shared)))
}

/// Serves HTTP at one end, fetches the start page at the other, and waits until the connection is closed.
async fn exchange(client: Net, server: Net) -> anyhow::Result<(StatusCode, usize)> {
    let listener = TcpListener::bind(&server, (SERVER, 80)).await.context("cannot listen")?;
    let router = Router::new().route("/", get(|| async { Html(page()) }));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move {
        // Dropped is stopped, too.
        let _ = stopped.await;
    };
    let serving = tokio::spawn(http::serve(listener, router, http::Limits::default(), stopped));
    let fetched = fetch(&client).await;
    while open(&client) + open(&server) > 0 {
        tokio::time::sleep(GLANCE).await;
    }
    drop(stop);
    serving.await.context("the server failed")?;
    fetched
}

fn open(net: &Net) -> usize {
    net.shared().look(|stack, _| Ok(stack.tcp().open_connections())).unwrap_or(0)
}

/// A page that fills some segments, so that there is something to lose.
fn page() -> String {
    let lines = (1..=150).map(|line| format!("<li>line {line:3} of a page that fills some segments</li>\n"));
    format!("<!doctype html><title>demo</title>\n<ol>\n{}</ol>\n", lines.collect::<String>())
}

/// One request, one answer; then the client closes.
async fn fetch(client: &Net) -> anyhow::Result<(StatusCode, usize)> {
    let stream = TcpStream::connect(client, SocketAddr::new(SERVER, 80)).await.context("cannot connect")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/").header(HOST, SERVER.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    let body = response.collect().await.context("the answer is cut short")?.to_bytes();
    drop(sender);
    // However the connection ends, the answer is complete.
    let _ = connection.await;
    Ok((status, body.len()))
}

/// A share of all packets: `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().map_err(|error| error.to_string())? / unit;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("between 0% and 100%, please".to_owned()) }
}

/// Bits per second: `56k`, `10M`, `1G`, with or without `bit` behind it.
fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches("bit");
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" => 1e9,
        unit => return Err(format!("no such unit: {unit}; use k, M or G")),
    };
    let rate = number.trim().parse::<f64>().map_err(|error| error.to_string())? * unit;
    if (1.0..1e15).contains(&rate) {
        Ok(rate as u64)
    } else {
        Err("at least one bit per second, please".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_fractions() {
        assert_eq!(
            (share("10%"), share("0.1"), share("0"), share("100 %")),
            (Ok(0.1), Ok(0.1), Ok(0.0), Ok(1.0))
        );
        for text in ["", "%", "-1%", "101%", "1.1", "nan", "viel"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_have_units() {
        assert_eq!(
            (rate("56k"), rate("10Mbit"), rate("1G"), rate("1200")),
            (Ok(56_000), Ok(10_000_000), Ok(1_000_000_000), Ok(1200))
        );
        for text in ["", "0", "k", "10T", "-1M", "nan"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
