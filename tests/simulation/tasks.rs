//! Applications written for tokio, under the simulator's clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::device::Capabilities;
use tidegate::net::{Net, TcpListener, TcpStream};
use tidegate::sim::{LinkConfig, Network, run};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pair::addrs;

const SERVER: &str = "10.77.0.2:7";

fn network(seed: u64, link: LinkConfig) -> (Network, [Net; 2]) {
    let mut network = Network::new(seed);
    let [a, b] = addrs(false).map(|addr| {
        let config = StackConfig { addrs: vec![(addr, 24)], tcp: TcpConfig::default() };
        network.add_shared_host(config, Capabilities::offload(1500)).unwrap()
    });
    network.connect(a.0, b.0, link);
    (network, [Net::new(a.1), Net::new(b.1)])
}

/// Echoes one connection and goes away.
async fn echo(net: Net) {
    let listener = TcpListener::bind(&net, SERVER).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

/// Spawned tasks, a lossy link, a real application's calls: the bytes come back, and the same seed gives the same packets.
#[test]
fn sockets_work_over_a_lossy_link_and_repeat_exactly() {
    let exchange = |seed| {
        let (mut network, [client, server]) =
            network(seed, LinkConfig { loss: 0.1, ..LinkConfig::default() });
        let echoed = run(&mut network, async move {
            let echo = tokio::spawn(echo(server));
            let mut stream = TcpStream::connect(&client, SERVER).await.unwrap();
            let sent: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
            let (mut reader, mut writer) = stream.split();
            let writing = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut echoed = Vec::new();
            let (_, len) = tokio::join!(writing, reader.read_to_end(&mut echoed));
            echo.await.unwrap();
            len.unwrap() == sent.len() && echoed == sent
        });
        assert_eq!(echoed, Some(true));
        network.trace_hash()
    };
    let first = exchange(3);
    assert_eq!(exchange(3), first);
    assert_ne!(exchange(4), first);
}

/// Timers of tasks and events of the network happen in the order of one clock, whichever is earlier.
#[test]
fn timers_of_tasks_keep_the_networks_time() {
    let link = LinkConfig { delay: Duration::from_micros(10_300), ..LinkConfig::default() };
    let (mut network, [client, server]) = network(1, link);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = |what: &'static str, net: &Net| {
        let (order, net) = (order.clone(), net.clone());
        move || order.borrow_mut().push((what, net.shared().now().as_millis()))
    };
    let (early, connected, late) = (log("early", &client), log("connected", &client), log("late", &client));
    run(&mut network, async {
        let _listener = TcpListener::bind(&server, SERVER).await.unwrap();
        let timers = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            early();
            tokio::time::sleep(Duration::from_millis(5)).await;
            // The clock of a socket call made from a timer is the timer's.
            TcpStream::connect(&client, "10.77.0.2:9").await.unwrap_err();
            late();
        };
        let connecting = async {
            let stream = TcpStream::connect(&client, SERVER).await.unwrap();
            connected();
            stream
        };
        tokio::join!(timers, connecting)
    })
    .unwrap();
    let order = order.borrow();
    assert_eq!(order.iter().map(|&(what, _)| what).collect::<Vec<_>>(), ["early", "connected", "late"]);
    // A SYN at 25 ms and its RST: 45.6 ms.
    assert_eq!(order[1..].iter().map(|&(_, at)| at).collect::<Vec<_>>(), [20, 45]);
}

/// A task that waits for what will never come ends the run instead of hanging it.
#[test]
fn a_run_in_which_everybody_waits_for_ever_ends() {
    let (mut network, [client, _]) = network(1, LinkConfig::default());
    let listener = TcpListener::listen(&client, "10.77.0.1:1".parse().unwrap(), 1).unwrap();
    assert!(run(&mut network, listener.accept()).is_none());
}
