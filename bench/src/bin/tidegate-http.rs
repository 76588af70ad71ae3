//! The minimal HTTP responder on tidegate's public sockets: a task for each connection, on the thread of the driver.

use std::net::Ipv4Addr;

use tidegate::net::{TcpListener, TcpStream};
use tidegate_bench::http::{ANSWER, Answer, LAST_ANSWER, Requests};
use tidegate_bench::{HTTP, device, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (net, mut driver) = device::stack()?;
    let listener = TcpListener::listen(&net, (Ipv4Addr::UNSPECIFIED, HTTP).into(), 4096)?;
    ready()?;
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
