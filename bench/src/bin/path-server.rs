//! One program that sends and takes bytes, on the kernel's sockets or on tidegate's, so that over a path nothing but the stack differs.
//!
//! `GET /SIZE` on port 80 is answered with as many bytes out of memory, and the end of the connection; port 9 discards. Both read and
//! write through tokio's traits, one thread for everything, as `tidegate serve` has it. Where an answer ended, a line on stderr says how
//! many bytes of data were sent, and how many of them again. See `scripts/bench-path`.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use anyhow::Context;
use clap::Parser;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, libc, sockopt_impl};
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::congestion::CongestionControl;
use tidegate_bench::{DISCARD, HTTP, On, PATTERN, device, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Sends and takes bytes on one of two stacks
#[derive(Debug, Parser)]
struct Options {
    /// Whose sockets
    #[arg(value_enum)]
    on: On,
    /// The algorithm of what is sent
    #[arg(long, default_value = "cubic")]
    congestion: String,
    /// The most that a buffer of tidegate's may take
    #[arg(long, default_value_t = 64 << 20)]
    buffers: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let any = Ipv4Addr::UNSPECIFIED;
    match options.on {
        On::Kernel => {
            let sending = tokio::net::TcpListener::bind((any, HTTP)).await?;
            let taking = tokio::net::TcpListener::bind((any, DISCARD)).await?;
            setsockopt(&sending.as_fd(), sockopt::TcpCongestion, &OsString::from(&options.congestion))
                .with_context(|| format!("the kernel has no {}", options.congestion))?;
            let used = getsockopt(&sending.as_fd(), sockopt::TcpCongestion)?;
            let used = used.to_string_lossy().trim_end_matches('\0').to_owned();
            ready()?;
            loop {
                tokio::select! {
                    accepted = sending.accept() => drop(tokio::spawn(send(accepted?.0, used.clone()))),
                    accepted = taking.accept() => drop(tokio::spawn(discard(accepted?.0))),
                }
            }
        }
        On::Tidegate => {
            let congestion = CongestionControl::from_name(&options.congestion)
                .with_context(|| format!("tidegate has no {}", options.congestion))?;
            let (send_buffer, receive_buffer) = (options.buffers, options.buffers);
            let config = TcpConfig { congestion, send_buffer, receive_buffer, ..TcpConfig::default() };
            let (net, _driver) = device::stack_with(config)?;
            let sending = tidegate::net::TcpListener::bind(&net, (any, HTTP)).await?;
            let taking = tidegate::net::TcpListener::bind(&net, (any, DISCARD)).await?;
            ready()?;
            loop {
                tokio::select! {
                    accepted = sending.accept() => drop(tokio::spawn(send(accepted?.0, congestion.name().to_owned()))),
                    accepted = taking.accept() => drop(tokio::spawn(discard(accepted?.0))),
                }
            }
        }
    }
}

/// The head of the kernel's `struct tcp_info`, as far as it tells of bytes sent.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TcpInfo {
    before: [u64; 25],
    bytes_sent: u64,
    bytes_retrans: u64,
}

sockopt_impl!(
    /// What the kernel knows of a connection.
    KernelInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfo
);

/// A stream whose stack counts what it sent.
trait Counted: AsyncRead + AsyncWrite + Unpin {
    /// Bytes of data sent so far, and those of them sent again.
    fn sent(&self) -> io::Result<(u64, u64)>;
}

impl Counted for tokio::net::TcpStream {
    fn sent(&self) -> io::Result<(u64, u64)> {
        let info = getsockopt(self, KernelInfo)?;
        Ok((info.bytes_sent, info.bytes_retrans))
    }
}

impl Counted for tidegate::net::TcpStream {
    fn sent(&self) -> io::Result<(u64, u64)> {
        let info = self.info()?;
        Ok((info.bytes_sent, info.bytes_retransmitted))
    }
}

/// Answers one request and says how. What goes wrong ends the connection; the client notices.
async fn send(mut stream: impl Counted, congestion: String) -> io::Result<()> {
    let answered = answer(&mut stream, congestion).await;
    let (sent, again) = stream.sent()?;
    eprintln!("sent {sent} again {again}");
    answered
}

/// Answers one request; returns when the client has ended the connection, too.
async fn answer(stream: &mut impl Counted, congestion: String) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let path = request.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let mut left =
        std::str::from_utf8(path).ok().and_then(|path| path.strip_prefix('/')?.parse().ok()).unwrap_or(0);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\nx-congestion: {congestion}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    while left > 0 {
        left -= stream.write(&PATTERN[..left.min(PATTERN.len())]).await?;
    }
    stream.shutdown().await?;
    stream.read(&mut [0]).await.map(drop)
}

async fn discard(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut block = vec![0; PATTERN.len()];
    while stream.read(&mut block).await? > 0 {}
    Ok(())
}
