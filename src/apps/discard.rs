//! The discard protocol (RFC 863) over TCP: reads until the peer closes, counts, answers nothing. Bytes that nobody looks at
//! are not copied either: they are counted where they were received.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncWrite};

use super::Report;
use super::scratch::BURST;

/// Reads `stream` to its end, then closes our side.
pub fn run<S: AsyncBufRead + AsyncWrite + Unpin>(stream: S) -> Run<S> {
    Run { stream, received: 0, closing: false }
}

/// The future of [`run`], written out by hand for the same reason as echo's.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Run<S> {
    stream: S,
    received: u64,
    closing: bool,
}

impl<S: AsyncBufRead + AsyncWrite + Unpin> Future for Run<S> {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        let Run { stream, received, closing } = self.get_mut();
        if !*closing {
            // A reset counts as the end: what came before it was read.
            ready!(poll_discard(stream, cx, received)).ok();
            *closing = true;
        }
        ready!(Pin::new(stream).poll_shutdown(cx)).ok();
        Poll::Ready(Report { received: *received, ..Report::default() })
    }
}

fn poll_discard<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    received: &mut u64,
) -> Poll<io::Result<()>> {
    for _ in 0..BURST {
        let count = ready!(Pin::new(&mut *stream).poll_fill_buf(cx))?.len();
        if count == 0 {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *stream).consume(count);
        *received += count as u64;
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, duplex};

    use super::*;

    /// RFC 863: whatever arrives is thrown away, nothing comes back.
    #[tokio::test]
    async fn discard_counts_to_the_end_and_answers_nothing() {
        let (mut client, server) = duplex(1000);
        let server = tokio::spawn(run(BufStream::new(server)));
        client.write_all(&vec![7; 300_000]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
        assert_eq!(server.await.unwrap(), Report { received: 300_000, ..Report::default() });
    }
}
