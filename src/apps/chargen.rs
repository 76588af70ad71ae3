//! The character generator (RFC 864) over TCP: lines of 72 characters until the peer goes away.
//!
//! What the peer sends is thrown away. Its FIN alone does not end the stream, since a client may close its sending side
//! and read on (`nc -N`); a reset, a failed write or the server's stop does.

use std::future::poll_fn;
use std::io;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt};

use super::scratch::{self, BURST};
use super::slices::SliceStream;
use super::{Report, Stop};
use crate::base::buffer::{Buffer, LARGE, Slice};

const LINE: usize = 72;
/// The printable characters of ASCII, space included.
const FIRST: u8 = b' ';
const COUNT: usize = 95;
/// The pattern repeats after [`COUNT`] lines, so the text is a whole number of rotations: as many as one buffer holds.
const ROTATIONS: usize = LARGE / (COUNT * (LINE + 2));

/// Made once, and sent again and again without a copy.
static TEXT: LazyLock<Slice> = LazyLock::new(|| {
    let mut text = Buffer::large();
    for line in 0..ROTATIONS * COUNT {
        let characters: [u8; LINE] = std::array::from_fn(|column| FIRST + ((line + column) % COUNT) as u8);
        text.append(&characters);
        text.append(b"\r\n");
    }
    text.into()
});

/// Sends the pattern on `stream` until the peer goes away or `stop` is raised.
pub async fn run<S: SliceStream>(mut stream: S, mut stop: Stop) -> Report {
    let mut chargen = Chargen::default();
    tokio::select! {
        _ = poll_fn(|cx| chargen.poll(&mut stream, cx)) => {}
        () = stop.wait() => {}
    }
    let _ = stream.shutdown().await;
    chargen.report
}

#[derive(Default)]
struct Chargen {
    report: Report,
    peer_closed: bool,
}

impl Chargen {
    fn poll<S: SliceStream>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..BURST {
            self.poll_input(stream, cx)?;
            ready!(stream.poll_write_slice(cx, &TEXT))?;
            self.report.sent += TEXT.len() as u64;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Throws away what has arrived, so that the peer's window for us never matters to it.
    fn poll_input<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> io::Result<()> {
        if self.peer_closed {
            return Ok(());
        }
        if let Poll::Ready(count) = scratch::poll_read(stream, cx, |_, _, bytes| bytes.len())? {
            self.peer_closed = count == 0;
            self.report.received += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;
    use crate::apps::slices::Copying;

    fn pipe() -> (DuplexStream, Copying<DuplexStream>) {
        let (client, server) = duplex(5000);
        (client, Copying::new(server))
    }

    /// RFC 864: 72 printable characters a line, each line begins one character further, 95 lines are one turn.
    #[tokio::test]
    async fn chargen_rotates_through_the_printable_characters() {
        let (mut client, server) = pipe();
        let (_sender, stop) = Stop::channel();
        let _server = tokio::spawn(run(server, stop));
        let mut text = vec![0; 96 * 74];
        client.read_exact(&mut text).await.unwrap();
        let lines: Vec<&[u8]> = text.chunks(74).collect();
        assert!(lines[0].starts_with(b" !\"#$") && lines[0].ends_with(b"defg\r\n"));
        assert!(lines[1].starts_with(b"!\"#$%"));
        assert!(lines[94].starts_with(b"~ !"), "the last character is followed by the first");
        assert_eq!(lines[95], lines[0]);
    }

    /// The text joins on to itself, so that a stream of any length keeps the pattern.
    #[test]
    fn the_prebuilt_text_is_whole_rotations_and_large() {
        assert!(TEXT.len() >= 60_000);
        assert_eq!(TEXT.len() % (COUNT * (LINE + 2)), 0);
    }

    /// `nc -N`: a peer that only closed its sending side goes on reading.
    #[tokio::test]
    async fn chargen_goes_on_after_a_half_close_and_ends_when_the_peer_is_gone() {
        let (mut client, server) = pipe();
        let (_sender, stop) = Stop::channel();
        let server = tokio::spawn(run(server, stop));
        client.write_all(b"ignored").await.unwrap();
        client.shutdown().await.unwrap();
        client.read_exact(&mut vec![0; 500_000]).await.unwrap();
        drop(client);
        let report = server.await.unwrap();
        assert_eq!(report.received, 7);
        assert!(report.sent + TEXT.len() as u64 >= 500_000);
    }

    /// The stop of the server ends an endless stream at once instead of using up the grace period.
    #[tokio::test]
    async fn chargen_ends_at_the_stop() {
        let (mut client, server) = pipe();
        let (sender, stop) = Stop::channel();
        let server = tokio::spawn(run(server, stop));
        client.read_u8().await.unwrap();
        sender.send(true).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        let (sent, received) = (server.await.unwrap().sent, rest.len() as u64 + 1);
        assert!(sent <= received && received - sent < TEXT.len() as u64, "{sent} sent, {received} received");
    }
}
