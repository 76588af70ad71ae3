//! An echo server in forty lines: a stack of our own behind a TUN device, with sockets that look like tokio's.
//!
//! ```text
//! sudo -E cargo run --example echo &
//! echo hello | nc -N 10.79.0.2 7
//! ```

use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::net::{Net, TcpListener};
use tidegate::stack::StackConfig;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The host's side of the link; the device vanishes with this process.
    let mut tun = Tun::open("tideecho", true)?;
    tun.configure(&HostSide { addrs: vec![("10.79.0.1".parse()?, 24)], mtu: None })?;

    // The stack's side.
    let config = StackConfig { addrs: vec![("10.79.0.2".parse()?, 24)], tcp: Default::default() };
    let (net, mut driver) = Net::start(config, tun)?;

    let listener = TcpListener::bind(&net, "10.79.0.2:7").await?;
    println!("echo hello | nc -N 10.79.0.2 7");
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, peer) = accepted?;
                println!("{peer} is here");
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.into_split();
                    tokio::io::copy_buf(&mut reader, &mut writer).await
                });
            }
            failed = driver.ended() => return Ok(failed?),
        }
    }
}
