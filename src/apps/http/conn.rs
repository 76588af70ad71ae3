//! What HTTP adds to a connection below hyper: counters, timeouts and the lingering close.
//!
//! hyper bounds the time for a request's header. Here are the rest (hostile-cases H2, H3): the wait for a first byte or a
//! next request, a body that stops coming, a response that is not taken. And RFC 9112 §9.6: when the client may still be
//! sending, a close with unread bytes would bring it a reset that destroys our last answer, so they are read and dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::server::Limits;
use crate::apps::{Report, scratch};
use crate::driver::clock;

/// What the byte stream and the requests of one connection know of each other. One task uses it; the atomics only
/// make it `Sync`.
#[derive(Debug, Default)]
pub(super) struct Activity {
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Request bodies not yet read to their end.
    open_bodies: AtomicUsize,
    /// Bytes came in that belong to no request answered so far, or a body was left unread.
    unread: AtomicBool,
}

impl Activity {
    pub(super) fn report(&self) -> Report {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Report { requests: get(&self.requests), received: get(&self.received), sent: get(&self.sent) }
    }
}

/// A request body that tells the connection's [`Activity`] when it begins and ends.
pub(super) struct Tracked {
    body: Body,
    activity: Arc<Activity>,
    ended: bool,
}

impl Tracked {
    /// Marks the begin of a request.
    pub(super) fn new(body: Body, activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Relaxed);
        activity.open_bodies.fetch_add(1, Relaxed);
        activity.unread.store(false, Relaxed);
        let mut tracked = Self { body, activity: Arc::clone(activity), ended: false };
        if hyper::body::Body::is_end_stream(&tracked.body) {
            tracked.end();
        }
        tracked
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.activity.open_bodies.fetch_sub(1, Relaxed);
            self.activity.unread.store(false, Relaxed);
        }
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.end(),
            Some(Ok(_)) if self.body.is_end_stream() => self.end(),
            Some(_) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.ended {
            self.activity.open_bodies.fetch_sub(1, Relaxed);
            self.activity.unread.store(true, Relaxed);
        }
    }
}

/// A stream with timeouts, counters and the lingering close.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    limits: Limits,
    reading: Alarm,
    writing: Alarm,
    lingering: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: &Arc<Activity>, limits: Limits) -> Self {
        let activity = Arc::clone(activity);
        let (reading, writing) = (Alarm::default(), Alarm::default());
        Self { stream, activity, limits, reading, writing, lingering: None, ended: false }
    }

    /// How long the next byte may take. With half-close allowed hyper reads only for a header or a body, never while
    /// it answers, so a long answer is not mistaken for an idle connection.
    fn patience(&self) -> Duration {
        if self.activity.open_bodies.load(Relaxed) > 0 { self.limits.stall } else { self.limits.idle }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(count)) => {
                self.activity.sent.fetch_add(count as u64, Relaxed);
                self.writing.quiet();
                // A download in progress is a sign of life for the reading side as well.
                self.reading.quiet();
                Poll::Ready(Ok(count))
            }
            Poll::Pending => {
                ready!(self.writing.poll(cx, self.limits.stall));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            error => error,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => {
                let patience = self.patience();
                ready!(self.reading.poll(cx, patience));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(result) => {
                let count = buf.filled().len() - before;
                self.ended |= count == 0;
                self.activity.received.fetch_add(count as u64, Relaxed);
                if count > 0 {
                    self.activity.unread.store(true, Relaxed);
                }
                self.reading.quiet();
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    // RFC 9112 §9.6: close the sending side, then read on until the client closes too, for a bounded time.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if this.ended || !this.activity.unread.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.limits.linger;
        let alarm = this.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(linger)));
        if alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..scratch::BURST {
            match ready!(scratch::poll_read(&mut this.stream, cx, |_, _, bytes| bytes.len())) {
                Ok(0) | Err(_) => return Poll::Ready(Ok(())),
                Ok(count) => this.activity.received.fetch_add(count as u64, Relaxed),
            };
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A timer that runs only while somebody waits, and starts anew after each sign of life.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The limit the timer runs for; a different one starts it anew.
    running: Option<Duration>,
}

impl Alarm {
    fn quiet(&mut self) {
        self.running = None;
    }

    /// Ready once `limit` has passed in one wait.
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if self.running != Some(limit) {
            sleep.as_mut().reset(clock::timer_now() + limit);
            self.running = Some(limit);
        }
        sleep.as_mut().poll(cx)
    }
}
