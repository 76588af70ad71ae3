//! The minimal HTTP responder on tidegate's public sockets: a task for each connection, on the thread of its driver.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use clap::Parser;
use tidegate::device::tun::Tun;
use tidegate::net::{Shard, TcpListener, TcpStream};
use tidegate_bench::http::{ANSWER, Answer, LAST_ANSWER, Requests};
use tidegate_bench::{HTTP, device, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What can be asked for.
#[derive(Parser)]
struct Options {
    /// Queues of the device, each with a stack and a thread of its own
    #[arg(long, default_value_t = 1)]
    queues: usize,
}

fn main() -> anyhow::Result<()> {
    let shards = device::shards(Options::parse().queues)?;
    let count = shards.len();
    let (tell, told) = channel();
    for (shard, queue) in shards {
        let tell = tell.clone();
        thread::spawn(move || {
            let ended = run(shard, queue, &tell);
            tell.send(ended)
        });
    }
    for _ in 0..count {
        told.recv()??;
    }
    ready()?;
    told.recv()?
}

/// Serves one queue until its driver ends; tells when connections are welcome.
#[tokio::main(flavor = "current_thread")]
async fn run(shard: Shard, queue: Tun, tell: &Sender<anyhow::Result<()>>) -> anyhow::Result<()> {
    let (net, mut driver) = shard.start(queue, device::DRIVER)?;
    let listener = TcpListener::listen(&net, (Ipv4Addr::UNSPECIFIED, HTTP).into(), 4096)?;
    tell.send(Ok(()))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(driver.ended().await?)
}

/// However the connection ends, there is nobody to tell.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = Requests::default();
    let mut block = [0; 1024];
    loop {
        let count = stream.read(&mut block).await?;
        if count == 0 {
            return Ok(());
        }
        match requests.take(&block[..count]) {
            Answer::Wait => {}
            Answer::Keep => stream.write_all(ANSWER).await?,
            Answer::Close => {
                stream.write_all(LAST_ANSWER).await?;
                return stream.shutdown().await;
            }
        }
    }
}
