//! The echo protocol (RFC 862) over TCP.
//!
//! The peer's end of file is answered by ours only after everything echoed is written, so `nc -N` gets all its bytes
//! back. Bytes are written from where they were received and held nowhere else: those that the peer does not take stay
//! unread, so that its window closes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};

use super::Report;
use super::scratch::BURST;

/// Echoes what `reader` receives over `writer`, to its end, then closes our side.
pub async fn run<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin>(reader: R, writer: W) -> Report {
    let mut echo = Echo { reader, writer, report: Report::default(), dirty: false };
    let result = std::future::poll_fn(|cx| echo.poll(cx)).await;
    if result.is_ok() {
        let _ = echo.writer.shutdown().await;
    }
    echo.report
}

struct Echo<R, W> {
    reader: R,
    writer: W,
    report: Report,
    /// Something was written since the last flush.
    dirty: bool,
}

impl<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin> Echo<R, W> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..BURST {
            let Poll::Ready(bytes) = Pin::new(&mut self.reader).poll_fill_buf(cx)? else {
                // A stream that buffers must not sit on the echo while we wait for more.
                let _ = self.poll_flush(cx)?;
                return Poll::Pending;
            };
            if bytes.is_empty() {
                return self.poll_flush(cx);
            }
            let taken = match ready!(Pin::new(&mut self.writer).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => taken,
            };
            Pin::new(&mut self.reader).consume(taken);
            self.dirty = true;
            self.report.received += taken as u64;
            self.report.sent += taken as u64;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dirty {
            ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, BufReader, BufWriter, DuplexStream, duplex, split};

    use super::*;

    /// The echo over a stream that has no buffer to lend.
    async fn echo(stream: DuplexStream) -> Report {
        let (reader, writer) = split(stream);
        run(BufReader::with_capacity(100, reader), writer).await
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    /// RFC 862, RFC 9293 §3.6: after the peer's FIN everything still comes back, then our FIN.
    #[tokio::test]
    async fn echo_returns_everything_after_a_half_close() {
        let sent = pattern(1_000_000);
        let (client, server) = duplex(777);
        let server = tokio::spawn(echo(server));
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
        let _server = tokio::spawn(echo(server));
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
        // Both directions of the pipe and the one buffer that is read from.
        assert!(taken <= 3000, "{taken} bytes taken");
    }

    /// A stream that buffers its writes still echoes each line at once.
    #[tokio::test]
    async fn echo_flushes_before_it_waits() {
        let (mut client, server) = duplex(1000);
        let (reader, writer) = split(server);
        let _server = tokio::spawn(run(BufReader::new(reader), BufWriter::new(writer)));
        client.write_all(b"line\n").await.unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"line\n");
    }
}
