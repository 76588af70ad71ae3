//! The discard protocol (RFC 863) over TCP: reads until the peer closes, counts, answers nothing.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Report;
use super::scratch::{self, BURST};

/// Reads `stream` to its end, then closes our side.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Report {
    let mut received = 0;
    // A reset counts as the end: what came before it was read.
    let _ = std::future::poll_fn(|cx| poll_discard(&mut stream, cx, &mut received)).await;
    let _ = stream.shutdown().await;
    Report { received, ..Report::default() }
}

fn poll_discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    received: &mut u64,
) -> Poll<io::Result<()>> {
    for _ in 0..BURST {
        match std::task::ready!(scratch::poll_read(stream, cx, |_, _, bytes| bytes.len()))? {
            0 => return Poll::Ready(Ok(())),
            count => *received += count as u64,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// RFC 863: whatever arrives is thrown away, nothing comes back.
    #[tokio::test]
    async fn discard_counts_to_the_end_and_answers_nothing() {
        let (mut client, server) = duplex(1000);
        let server = tokio::spawn(run(server));
        client.write_all(&vec![7; 300_000]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
        assert_eq!(server.await.unwrap(), Report { received: 300_000, ..Report::default() });
    }
}
