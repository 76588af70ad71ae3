//! Waits that are given up, sockets that outlive what carries them, and tasks that must be woken once and not in vain (hostile
//! case M14).

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tidegate::net::{Net, TcpListener, TcpStream};
use tidegate::tcp::config::TcpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{SERVER, hosts, pattern, settle};
use crate::stream::connected;

/// A task that counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn new() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn connections(net: &Net) -> usize {
    net.shared().look(|stack, _| Ok(stack.tcp().connections().count())).unwrap()
}

/// Hostile case M14: a task that waits to read is woken once for what comes, not again while it does not ask, and again once it
/// has asked again; the end of the stream wakes it, too.
#[tokio::test]
async fn a_waiting_reader_is_woken_once_for_each_change() {
    let (mut near, far, _hosts) = connected().await;
    let (count, waker) = Count::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(far.poll_read_ready(cx).is_pending());
    assert!(far.poll_read_ready(cx).is_pending(), "asking twice is waiting once");
    near.write_all(b"a").await.unwrap();
    settle().await;
    assert_eq!(count.get(), 1);
    near.write_all(b"b").await.unwrap();
    settle().await;
    assert_eq!(count.get(), 1, "it did not ask again");
    assert!(far.poll_read_ready(cx).is_ready(), "what came before the question is not waited for");
    assert_eq!(far.try_read(&mut [0; 9]).unwrap(), 2);
    assert!(far.poll_read_ready(cx).is_pending());
    drop(near);
    settle().await;
    assert_eq!(count.get(), 2);
    assert_eq!(far.try_read(&mut [0; 9]).unwrap(), 0);
}

/// Hostile case M14: a task that waits for room is woken once when the peer has read, and there is room then.
#[tokio::test]
async fn a_waiting_writer_is_woken_once_for_room() {
    let (near, mut far, _hosts) = connected().await;
    let mut written = 0;
    let mut rounds = 0;
    // The peer's window fills, too.
    while rounds < 5 {
        match near.try_write(&[7; 100_000]) {
            Ok(len) => written += len,
            Err(_) => rounds += 1,
        }
        settle().await;
    }
    let (count, waker) = Count::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(near.poll_write_ready(cx).is_pending());
    let mut buffer = vec![0; written];
    far.read_exact(&mut buffer).await.unwrap();
    settle().await;
    assert_eq!(count.get(), 1);
    assert!(near.poll_write_ready(cx).is_ready());
}

/// Hostile case M14: accepts that are given up before or after their task was woken take no connection and no wake-up from those
/// who still wait.
#[tokio::test]
async fn a_cancelled_accept_loses_no_connection() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = Arc::new(TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap());
    for _ in 0..20 {
        tokio::select! {
            biased;
            accepted = listener.accept() => panic!("nobody is there: {accepted:?}"),
            () = ready(()) => {}
        }
    }
    // This one is woken and never asks.
    let (count, waker) = Count::new();
    assert!(listener.poll_accept(&mut Context::from_waker(&waker)).is_pending());
    let accepting = [0; 3].map(|_| {
        let listener = listener.clone();
        tokio::spawn(async move { listener.accept().await.unwrap() })
    });
    settle().await;
    accepting[0].abort();
    accepting[2].abort();
    let mut near = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    let [_, waiting, _] = accepting;
    let (mut far, _) = waiting.await.unwrap();
    assert_eq!(count.get(), 1);
    near.write_all(b"!").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'!');
}

/// Hostile case M14: reads and writes that are given up whenever they would wait neither lose nor repeat a byte.
#[tokio::test]
async fn cancelled_reads_and_writes_lose_no_byte() {
    let (mut near, mut far, _hosts) = connected().await;
    let sent = pattern(20_000_000);
    let (mut written, mut received, mut cancelled) = (0, Vec::new(), [0, 0]);
    let mut buffer = [0; 30_000];
    while received.len() < sent.len() {
        while written < sent.len() {
            tokio::select! {
                biased;
                taken = near.write(&sent[written..]) => written += taken.unwrap(),
                () = ready(()) => {
                    cancelled[0] += 1;
                    break;
                }
            }
        }
        loop {
            tokio::select! {
                biased;
                len = far.read(&mut buffer) => received.extend_from_slice(&buffer[..len.unwrap()]),
                () = ready(()) => {
                    cancelled[1] += 1;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(received == sent, "the bytes differ");
    assert!(cancelled[0] > 1 && cancelled[1] > 1, "{cancelled:?}");
}

/// Hostile case M14: a driver that goes wakes every waiting task once, with an error to find; the sockets are dropped after it
/// without harm, and nothing keeps the stack.
#[test]
fn tasks_and_sockets_outlive_the_driver() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (near, far, (server, client)) = runtime.block_on(connected());
    let listener = TcpListener::listen(&server.net, format!("{SERVER}:8").parse().unwrap(), 1).unwrap();
    let (count, waker) = Count::new();
    let cx = &mut Context::from_waker(&waker);
    assert!(near.poll_read_ready(cx).is_pending());
    assert!(far.poll_read_ready(cx).is_pending());
    assert!(listener.poll_accept(cx).is_pending());
    drop(runtime);
    assert_eq!(count.get(), 3);
    assert!(matches!(near.poll_read_ready(cx), Poll::Ready(_)));
    assert!(matches!(far.poll_read_ready(cx), Poll::Ready(_)));
    assert!(matches!(listener.poll_accept(cx), Poll::Ready(Err(_))));
    assert_eq!(count.get(), 3);
    drop((near, far, listener));
    for host in [server, client] {
        drop(host.driver);
        assert_eq!(Arc::strong_count(host.net.shared()), 1, "somebody holds the stack");
    }
}

/// Hostile case M14: the handle of a stack may go while its sockets live: they go on.
#[tokio::test]
async fn sockets_outlive_the_handle_of_their_stack() {
    let (mut near, mut far, hosts) = connected().await;
    drop(hosts);
    near.write_all(b"still here").await.unwrap();
    near.shutdown().await.unwrap();
    let mut read = String::new();
    far.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "still here");
}

/// Hostile case M14: connections that are opened, half opened, accepted or left waiting, read from or not, and then dropped in any
/// order: the tables of both stacks come back to zero.
#[tokio::test]
async fn a_churn_of_sockets_leaves_no_connection() {
    let tcp = TcpConfig { time_wait: Duration::from_millis(1), ..TcpConfig::default() };
    let (server, client) = hosts(tcp);
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    for round in 0..100 {
        tokio::select! {
            biased;
            result = TcpStream::connect(&client.net, (SERVER, 7)) => panic!("without the driver: {result:?}"),
            () = ready(()) => {}
        }
        let mut near = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
        near.write_all(b"hello").await.unwrap();
        match round % 4 {
            0 => drop(near),
            1 => drop(listener.accept().await.unwrap()),
            2 => {
                let (mut far, _) = listener.accept().await.unwrap();
                drop(near);
                let _ = far.read_u8().await;
            }
            _ => {
                let (far, _) = listener.accept().await.unwrap();
                drop(far);
                drop(near);
            }
        }
    }
    drop(listener);
    let gone = async {
        while connections(&server.net) + connections(&client.net) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let left = || [&server.net, &client.net].map(connections);
    let within = tokio::time::timeout(Duration::from_secs(60), gone).await;
    assert!(within.is_ok(), "connections left: {:?}", left());
}
