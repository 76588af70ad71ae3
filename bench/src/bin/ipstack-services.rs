//! The services on ipstack, over a TUN device that the `tun-rs` crate opens, on tokio's threads as its own examples run.
//!
//! ipstack takes one plain packet a read and accepts whatever address and port is asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ipstack::{IpStack, IpStackConfig, IpStackStream, IpStackTcpStream};
use tidegate_bench::http::{ANSWER, Answer, LAST_ANSWER, Requests};
use tidegate_bench::{CHARGEN, CLIENT, DISCARD, ECHO, HTTP, PATTERN, PREFIX};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tun_rs::{AsyncDevice, DeviceBuilder};

const MTU: u16 = 1_500;
const QUEUE: u32 = 2_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let device = DeviceBuilder::new()
        .name("bench0")
        .mtu(MTU)
        .tx_queue_len(QUEUE)
        .ipv4(CLIENT, PREFIX, None)
        .build_async()?;
    let mut config = IpStackConfig::default();
    config.mtu(MTU)?;
    let mut stack = IpStack::new(config, Tun(device));
    tidegate_bench::ready()?;
    loop {
        if let IpStackStream::Tcp(stream) = stack.accept().await? {
            tokio::spawn(serve(stream));
        }
    }
}

/// However the connection ends, there is nobody to tell.
async fn serve(mut stream: IpStackTcpStream) -> io::Result<()> {
    match stream.peer_addr().port() {
        CHARGEN => loop {
            stream.write_all(&PATTERN[..65_536]).await?;
        },
        DISCARD => {
            let mut block = vec![0; 65_536];
            while stream.read(&mut block).await? > 0 {}
        }
        ECHO => {
            let mut block = [0; 2_048];
            while let count @ 1.. = stream.read(&mut block).await? {
                stream.write_all(&block[..count]).await?;
            }
        }
        HTTP => answer(&mut stream).await?,
        _ => {}
    }
    stream.shutdown().await
}

async fn answer(stream: &mut IpStackTcpStream) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut block = [0; 1_024];
    while let count @ 1.. = stream.read(&mut block).await? {
        match requests.take(&block[..count]) {
            Answer::Wait => {}
            Answer::Keep => stream.write_all(ANSWER).await?,
            // Its shutdown does nothing while bytes are in flight, and is not looked at again; the client closes first.
            Answer::Close => stream.write_all(LAST_ANSWER).await?,
        }
    }
    Ok(())
}

/// tun-rs's device as the byte stream that ipstack asks for: a packet a call.
struct Tun(AsyncDevice);

impl AsyncRead for Tun {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.0.poll_recv(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tun {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
