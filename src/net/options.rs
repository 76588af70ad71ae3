//! Socket options, urgent data, statistics and waiting closes of streams and listeners, in the words of tokio and socket2. What
//! has no method of its own is in [`SocketOptions`].

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::time::Duration;

use super::listener::TcpListener;
use super::stream::TcpStream;
use crate::tcp::options::SocketOptions;
use crate::tcp::{SendFlags, Statistics};

impl TcpStream {
    /// Every option of the stream.
    pub fn options(&self) -> io::Result<SocketOptions> {
        self.connection().options()
    }

    /// Changes options of the stream; those that count when a connection is opened change nothing any more.
    ///
    /// ```no_run
    /// # fn example(stream: tidegate::net::TcpStream) -> std::io::Result<()> {
    /// stream.change_options(|options| {
    ///     options.keep_alive = true;
    ///     options.keep_idle = std::time::Duration::from_secs(60);
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for values that cannot be.
    pub fn change_options(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        self.connection().set_option(change)
    }

    /// `SO_LINGER`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.options().map(|options| options.linger)
    }

    /// `SO_LINGER`: how long [`TcpStream::close`] waits for the peer; zero resets the connection, dropping the stream too.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.change_options(|options| options.linger = linger)
    }

    /// `IP_TTL` or `IPV6_UNICAST_HOPS`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.options().map(|options| options.hop_limit.into())
    }

    /// `IP_TTL` or `IPV6_UNICAST_HOPS` (RFC 9293 §3.9.2), 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let hop_limit = u8::try_from(ttl).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.change_options(|options| options.hop_limit = hop_limit)
    }

    /// `IP_TOS` or `IPV6_TCLASS`, without the ECN bits.
    pub fn tos(&self) -> io::Result<u32> {
        self.options().map(|options| options.traffic_class.into())
    }

    /// `IP_TOS` or `IPV6_TCLASS` (RFC 9293 §3.9.1.9): the DSCP in the upper six bits; the lower two are ECN's and ignored.
    pub fn set_tos(&self, tos: u32) -> io::Result<()> {
        let traffic_class = u8::try_from(tos).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.change_options(|options| options.traffic_class = traffic_class)
    }

    /// `SO_KEEPALIVE` (RFC 9293 §3.8.4).
    pub fn keepalive(&self) -> io::Result<bool> {
        self.options().map(|options| options.keep_alive)
    }

    /// `SO_KEEPALIVE`; its times are among the [options](TcpStream::change_options).
    pub fn set_keepalive(&self, keep_alive: bool) -> io::Result<()> {
        self.change_options(|options| options.keep_alive = keep_alive)
    }

    /// `TCP_USER_TIMEOUT` (RFC 5482): how long sent data may stay unacknowledged.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.change_options(|options| options.user_timeout = timeout)
    }

    /// `SO_MAX_PACING_RATE`: bytes of data per second that are sent at most; `None` leaves that to the congestion control.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a rate of zero.
    pub fn set_max_pacing_rate(&self, rate: Option<u64>) -> io::Result<()> {
        self.change_options(|options| options.max_pacing_rate = rate)
    }

    /// `TCP_CORK`: less than a full segment waits until the cork is taken out, at most one retransmission timeout.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        self.change_options(|options| options.cork = cork)
    }

    /// Writes bytes that are urgent (RFC 9293 §3.8.5); the peer gets them in line. Returns how many were taken. New
    /// applications should not use it (SHLD-13).
    pub async fn send_urgent(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags { urgent: true, ..SendFlags::default() };
        poll_fn(|cx| self.connection().poll_send(cx, &[IoSlice::new(bytes)], flags)).await
    }

    /// Bytes up to the end of the peer's urgent data; zero without any.
    pub fn urgent_left(&self) -> io::Result<u32> {
        let left = self.connection().urgent_left()?;
        Ok(if left == 0 { 0 } else { left + self.head().bytes().len() as u32 })
    }

    /// True if the next byte to read is the last urgent one (`SIOCATMARK`). A read stops in front of it.
    pub fn at_mark(&self) -> io::Result<bool> {
        Ok(self.head().bytes().is_empty() && self.connection().at_mark()?)
    }

    /// Everything that Linux's `TCP_INFO` tells of a connection, and more: state and phase of recovery, windows, round trips and
    /// timeout, what is under way, lost, sent again and delivered, rates, reordering, what sending waited for, ECN. Units stand at
    /// the fields of [`Statistics`]; [`Statistics::named`] has the values under Linux's names and in its units.
    ///
    /// ```no_run
    /// # fn example(stream: tidegate::net::TcpStream) -> std::io::Result<()> {
    /// let info = stream.info()?;
    /// println!("rtt {:?}, {} segments sent again", info.srtt, info.retransmitted);
    /// # Ok(())
    /// # }
    /// ```
    pub fn info(&self) -> io::Result<Statistics> {
        self.connection().statistics()
    }

    /// Closes the stream and waits as [`TcpStream::set_linger`] asks; without, it returns at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the peer did not acknowledge everything in time (the connection goes on in the
    /// background), and what else ended the connection before.
    pub async fn close(self) -> io::Result<()> {
        poll_fn(|cx| self.connection().poll_close(cx)).await
    }
}

impl TcpListener {
    /// Every option of the listener, which its connections inherit.
    pub fn options(&self) -> io::Result<SocketOptions> {
        self.shared().look(|stack, _| stack.tcp().options(self.id()))
    }

    /// Changes options of the listener, for connections that are opened afterwards.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for values that cannot be.
    pub fn change_options(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        self.shared().call(|stack, now| {
            let mut options = stack.tcp().options(self.id())?;
            change(&mut options);
            stack.tcp().set_options(self.id(), options, now)
        })
    }
}
