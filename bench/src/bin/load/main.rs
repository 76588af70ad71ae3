//! The load: the client's side of every measurement, over the kernel's sockets. Prints one JSON object.
//!
//! Each command connects first, lets things run in, and measures over a fixed time after that. It must not be what limits:
//! threads with blocking calls for bulk, one thread with epoll for many short connections.

mod bulk;
mod connects;
mod echo;
mod idle;
mod process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{Parser, Subcommand};
use tidegate_bench as bench;

/// Load for scripts/bench: prints one JSON object
#[derive(Debug, Parser)]
struct Cli {
    /// The server's address
    #[arg(long, default_value_t = IpAddr::V4(bench::STACK), global = true)]
    to: IpAddr,
    /// The server's process, whose processor time or memory is measured too
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Seconds to measure
    #[arg(long, default_value_t = 1.0, global = true)]
    seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 0.2, global = true)]
    warm: f64,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// The server sends (chargen)
    Receive {
        /// Connections
        #[arg(long, default_value_t = 1)]
        streams: usize,
    },
    /// The server receives (discard)
    Send {
        /// Connections
        #[arg(long, default_value_t = 1)]
        streams: usize,
    },
    /// One byte there and back, again and again (echo)
    Echo,
    /// Connect, request, answer, close (HTTP)
    Connects {
        /// How many at a time
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Close when the answer is whole instead of waiting for the server's FIN
        #[arg(long)]
        close_first: bool,
    },
    /// What `idle` starts several of
    #[command(hide = true)]
    Hold {
        /// How many
        #[arg(long)]
        connections: usize,
        /// The address that they come from
        #[arg(long)]
        source: Ipv4Addr,
        /// As for `idle`
        #[arg(long)]
        http: bool,
    },
    /// Connections that are held open: what one costs the server's process
    Idle {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Source addresses to spread them over: this client's, and from .10 of its subnet on
        #[arg(long, default_value_t = 1)]
        sources: u8,
        /// Each has asked one HTTP request instead of the echo of a byte
        #[arg(long)]
        http: bool,
    },
}

/// What every command gets.
#[derive(Clone, Copy, Debug)]
struct Plan {
    to: IpAddr,
    pid: Option<u32>,
    warm: Duration,
    seconds: Duration,
}

impl Plan {
    fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.to, port)
    }
}

fn main() {
    let cli = Cli::parse();
    let plan = Plan {
        to: cli.to,
        pid: cli.pid,
        warm: Duration::from_secs_f64(cli.warm),
        seconds: Duration::from_secs_f64(cli.seconds),
    };
    let result = match cli.work {
        Work::Receive { streams } => bulk::receive(plan, streams),
        Work::Send { streams } => bulk::send(plan, streams),
        Work::Echo => echo::run(plan),
        Work::Connects { connections, close_first } => connects::run(plan, connections, close_first),
        Work::Hold { connections, source, http } => idle::hold(plan, connections, source, http),
        Work::Idle { connections, sources, http } => idle::run(plan, connections, sources, http),
    };
    match result {
        Ok(line) if line.is_empty() => {}
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("load: {error:#}");
            std::process::exit(1);
        }
    }
}
