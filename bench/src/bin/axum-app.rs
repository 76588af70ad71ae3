//! One axum program, on the kernel's sockets or on tidegate's: what a user gets who swaps `tokio::net` for `tidegate::net`.
//!
//! The runtime is the same for both: one thread, as `tidegate serve` has it.

use std::net::Ipv4Addr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use tidegate_bench::{HTTP, On, device, ready};

/// One axum program on two stacks
#[derive(Debug, Parser)]
struct Options {
    /// Whose sockets
    #[arg(value_enum)]
    on: On,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let app = Router::new().route("/", get(|| async { "Hello, World!" }));
    let address = (Ipv4Addr::UNSPECIFIED, HTTP);
    match Options::parse().on {
        On::Kernel => {
            let listener = tokio::net::TcpListener::bind(address).await?;
            ready()?;
            axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app).await?;
        }
        On::Tidegate => {
            let (net, _driver) = device::stack()?;
            let listener = tidegate::net::TcpListener::bind(&net, address).await?;
            ready()?;
            axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app).await?;
        }
    }
    Ok(())
}
