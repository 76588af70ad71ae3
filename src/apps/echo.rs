//! The echo protocol (RFC 862) over TCP.
//!
//! The peer's end of file is answered by ours only after everything echoed is written, so `nc -N` gets all its bytes
//! back. Bytes are held only while the peer does not take them; then nothing more is read, so that its window closes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Report;
use super::scratch::{self, BURST};

/// Echoes `stream` to its end, then closes our side.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Report {
    let mut echo = Echo::default();
    let result = std::future::poll_fn(|cx| echo.poll(&mut stream, cx)).await;
    if result.is_ok() {
        let _ = stream.shutdown().await;
    }
    echo.report
}

#[derive(Default)]
struct Echo {
    report: Report,
    /// What was read and not yet taken by the peer, and how much of it is written. Empty without allocation when idle.
    held: Vec<u8>,
    written: usize,
    /// Something was written since the last flush.
    dirty: bool,
}

impl Echo {
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..BURST {
            ready!(self.poll_held(stream, cx))?;
            let read = scratch::poll_read(stream, cx, |stream, cx, bytes| {
                self.report.received += bytes.len() as u64;
                if bytes.is_empty() {
                    return Ok(false);
                }
                let taken = self.poll_write(stream, cx, bytes)?;
                self.held.extend_from_slice(&bytes[taken..]);
                Ok::<_, io::Error>(true)
            });
            match read? {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return self.poll_flush(stream, cx),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // A stream that buffers must not sit on the echo while we wait for more.
                    if let Poll::Ready(Err(error)) = self.poll_flush(stream, cx) {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is held back; ready once nothing is.
    fn poll_held<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let held = std::mem::take(&mut self.held);
        let taken = self.poll_write(stream, cx, &held[self.written..]);
        self.written += taken?;
        if self.written < held.len() {
            self.held = held;
            return Poll::Pending;
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes as much as the stream takes now; less than all means that the waker is registered.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &bytes[taken..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => taken += count,
                Poll::Pending => break,
            }
        }
        self.dirty |= taken > 0;
        self.report.sent += taken as u64;
        Ok(taken)
    }

    fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.dirty {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, BufWriter, duplex, split};

    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    /// RFC 862, RFC 9293 §3.6: after the peer's FIN everything still comes back, then our FIN.
    #[tokio::test]
    async fn echo_returns_everything_after_a_half_close() {
        let sent = pattern(1_000_000);
        let (client, server) = duplex(777);
        let server = tokio::spawn(run(server));
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
        let _server = tokio::spawn(run(server));
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
        let _server = tokio::spawn(run(BufWriter::new(server)));
        client.write_all(b"line\n").await.unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"line\n");
    }
}
