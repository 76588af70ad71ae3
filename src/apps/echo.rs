//! The echo protocol (RFC 862) over TCP.
//!
//! The peer's end of file is answered by ours only after everything echoed is written, so `nc -N` gets all its bytes
//! back. What was received is sent from where it lies. A slice is held only while the peer does not take it; then nothing
//! more is read, so that its window closes.
//!
//! A future written out by hand, since a hundred thousand of them wait at a time: an `async fn` would keep the stream twice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Report;
use super::scratch::BURST;
use super::slices::SliceStream;
use crate::base::buffer::Slice;

/// Echoes `stream` to its end, then closes our side.
pub fn run<S: SliceStream>(stream: S) -> Run<S> {
    Run { stream, report: Report::default(), held: Slice::default(), dirty: false, closing: false }
}

/// The future of [`run`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Run<S> {
    stream: S,
    report: Report,
    /// What was read and not yet taken by the peer; empty when idle.
    held: Slice,
    /// Something was written since the last flush.
    dirty: bool,
    /// Everything was echoed.
    closing: bool,
}

impl<S: SliceStream> Future for Run<S> {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        let this = self.get_mut();
        if !this.closing {
            if ready!(this.poll_echo(cx)).is_err() {
                return Poll::Ready(this.report);
            }
            this.closing = true;
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx)).ok();
        Poll::Ready(this.report)
    }
}

impl<S: SliceStream> Run<S> {
    fn poll_echo(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..BURST {
            if self.held.is_empty() {
                let Poll::Ready(slice) = self.stream.poll_read_slice(cx)? else {
                    // A stream that buffers must not sit on the echo while we wait for more.
                    let _ = self.poll_flush(cx)?;
                    return Poll::Pending;
                };
                if slice.is_empty() {
                    return self.poll_flush(cx);
                }
                self.report.received += slice.len() as u64;
                self.held = slice;
            }
            ready!(self.stream.poll_write_slice(cx, &self.held))?;
            self.report.sent += self.held.len() as u64;
            self.held = Slice::default();
            self.dirty = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dirty {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, duplex, split};

    use super::*;
    use crate::apps::slices::Copying;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    /// RFC 862, RFC 9293 §3.6: after the peer's FIN everything still comes back, then our FIN.
    #[tokio::test]
    async fn echo_returns_everything_after_a_half_close() {
        let sent = pattern(1_000_000);
        let (client, server) = duplex(777);
        let server = tokio::spawn(run(Copying::new(server)));
        let (mut reader, mut writer) = split(client);
        let bytes = sent.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&bytes).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        writing.await.unwrap();
        assert!(back == sent, "the echo differs");
        let report = server.await.unwrap();
        assert_eq!((report.received, report.sent), (1_000_000, 1_000_000));
    }

    /// Back-pressure: a peer that sends and does not read is not buffered without bound.
    #[tokio::test]
    async fn echo_stops_reading_while_the_peer_does_not_read() {
        let (mut client, server) = duplex(1000);
        let _server = tokio::spawn(run(Copying::new(server)));
        let mut taken = 0;
        loop {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let more = std::future::poll_fn(|cx| match Pin::new(&mut client).poll_write(cx, &[0; 100]) {
                Poll::Ready(count) => Poll::Ready(count.unwrap()),
                Poll::Pending => Poll::Ready(0),
            });
            match more.await {
                0 => break,
                count => taken += count,
            }
        }
        // Both directions of the pipe and one read that found no room.
        assert!(taken <= 3000, "{taken} bytes taken");
    }

    /// A stream that buffers its writes still echoes each line at once.
    #[tokio::test]
    async fn echo_flushes_before_it_waits() {
        let (mut client, server) = duplex(1000);
        let _server = tokio::spawn(run(Copying::new(BufWriter::new(server))));
        client.write_all(b"line\n").await.unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"line\n");
    }
}
