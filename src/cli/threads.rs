//! The further threads of `serve --queues N`: each runs a shard over its queue, with services of its own.

use std::io;

use anyhow::Context;
use tidegate::apps::Stop;
use tidegate::device::tun::Tun;
use tidegate::driver::DriverConfig;
use tidegate::driver::shared::Snapshot;
use tidegate::net::Shard;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use super::serve::{Servers, Services, drain};

/// A shard that a thread is to run.
#[derive(Debug)]
pub(crate) struct Further {
    pub(crate) shard: Shard,
    pub(crate) queue: Tun,
    pub(crate) driver: DriverConfig,
}

/// The threads, which serve until they are stopped.
#[derive(Debug)]
pub(crate) struct Threads {
    stop: watch::Sender<bool>,
    running: JoinSet<anyhow::Result<Snapshot>>,
}

impl Threads {
    /// Starts a thread for each shard; when this returns all of them listen.
    pub(crate) async fn start(shards: Vec<Further>, services: &Services) -> anyhow::Result<Self> {
        let (stop, stopped) = Stop::channel();
        let mut running = JoinSet::new();
        for further in shards {
            let (up, listens) = oneshot::channel();
            let (services, stopped) = (services.clone(), stopped.clone());
            running.spawn_blocking(move || super::runtime()?.block_on(serve(further, services, up, stopped)));
            if listens.await.is_err() {
                // It says why it has ended.
                running.join_next().await.map_or(Ok(()), |ended| flatten(ended).map(drop))?;
            }
        }
        Ok(Threads { stop, running })
    }

    /// Waits for one of them to end by itself, which it does only when its queue fails; for ever without any.
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        match self.running.join_next().await {
            Some(ended) => flatten(ended).map(drop).map_err(io::Error::other),
            None => std::future::pending().await,
        }
    }

    /// Stops them as `drain` does, and returns what they counted.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Vec<Snapshot>> {
        self.stop.send_replace(true);
        let mut counted = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            counted.push(flatten(ended)?);
        }
        Ok(counted)
    }
}

fn flatten(ended: Result<anyhow::Result<Snapshot>, JoinError>) -> anyhow::Result<Snapshot> {
    ended.context("a queue's thread is gone")?
}

/// Serves one queue until it is told to stop; returns what was counted.
async fn serve(
    Further { shard, queue, driver }: Further,
    services: Services,
    up: oneshot::Sender<()>,
    mut stopped: Stop,
) -> anyhow::Result<Snapshot> {
    let (net, mut driver) = shard.start(queue, driver).context("cannot start a stack")?;
    let grace = services.grace;
    let servers = Servers::start(&net, services).await?;
    let _ = up.send(());
    tokio::select! {
        () = stopped.wait() => {}
        ended = driver.ended() => return Ok(ended.map(|()| net.counters())?),
    }
    drain(servers, async { Ok(()) }, driver, grace).await?;
    Ok(net.counters())
}
