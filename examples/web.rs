//! An axum application on a stack of its own: `axum::serve` takes our listener as it takes tokio's.
//!
//! ```text
//! sudo -E cargo run --example web &
//! curl http://10.79.0.2/
//! ```

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::net::{Net, TcpListener};
use tidegate::stack::StackConfig;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut tun = Tun::open("tideweb", true)?;
    tun.configure(&HostSide { addrs: vec![("10.79.0.1".parse()?, 24)], mtu: None })?;
    let config = StackConfig { addrs: vec![("10.79.0.2".parse()?, 24)], tcp: Default::default() };
    let (net, driver) = Net::start(config, tun)?;

    let counters = net.clone();
    let app = Router::new()
        .route("/", get(|| async { "Hello from a TCP/IP stack in a process.\n" }))
        .route("/counters", get(async move || format!("{}\n", counters.counters())));
    let listener = TcpListener::bind(&net, "10.79.0.2:80").await?;
    println!("curl http://10.79.0.2/");
    let stopped = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    driver.shutdown(Duration::from_secs(2)).await?;
    Ok(())
}
