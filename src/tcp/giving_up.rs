//! Giving up: how long a connection waits for a peer that does not answer. R1 and R2 count retransmissions (RFC 9293 §3.8.3), for a
//! SYN, too; the user timeout counts time (RFC 5482); what the application has closed waits for less. The rules for probes are
//! in `probe.rs`, half-open entries are forgotten by `listener.rs`.
//!
//! No negative advice is given to IP at R1, as RFC 9293 asks of hosts with several first hops: this stack has one.

use crate::base::socket::{Readiness, SocketError};
use crate::base::time::{Duration, Instant};

use super::state::State;
use super::tcb::{Env, Tcb};
use super::timers::Timer;
use super::{Tcp, TcpId};

/// No trouble: nothing was sent again that still waits.
pub const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Tcb {
    /// The SYN or SYN-ACK was not answered in time: again, or no more (MUST-22, MUST-23). An active open that met another keeps
    /// the retries of an active open (MUST-11).
    pub fn on_syn_timeout(&mut self, env: &mut Env) {
        let active = self.active;
        let most = if active {
            self.options.syn_retries.saturating_add(env.config.syn_linear_retries)
        } else {
            env.config.syn_ack_retries
        };
        if self.retries >= most || self.is_user_timeout_over(env.now) {
            return self.give_up();
        }
        self.count_retry(env);
        self.trouble.retransmitted += 1;
        self.syn_due = true;
        self.arm_syn(env);
    }

    /// 1, 2, 4, … s (policy 17), an active open with the first ones a second apart if so configured. SYNs are not bound by the
    /// longest retransmission timeout.
    pub fn arm_syn(&mut self, env: &Env) {
        let linear = if self.state == State::SynSent { env.config.syn_linear_retries } else { 0 };
        let doublings = self.retries.saturating_sub(linear).min(16);
        let wait = env.config.initial_rto.saturating_mul(1 << doublings);
        self.deadlines.set(Timer::Retransmit, env.now + self.within_user_timeout(wait, env.now));
    }

    /// The retransmission timer fired in a synchronized state: again, or given up: after R2 (MUST-20), or a user timeout in its
    /// place, earlier if the application has closed (policy 29).
    pub fn on_data_timeout(&mut self, env: &mut Env) {
        if self.flight.sent.is_empty() {
            return;
        }
        let most = match self.options.user_timeout {
            _ if self.orphan => env.config.orphan_retries,
            Some(_) => u8::MAX,
            None => self.options.retries,
        };
        if self.retries >= most || self.is_user_timeout_over(env.now) {
            return self.give_up();
        }
        self.count_retry(env);
        self.suspect_black_hole(env);
        self.on_retransmission_timeout(env);
    }

    fn count_retry(&mut self, env: &mut Env) {
        if self.troubled_since == NEVER {
            self.troubled_since = env.now;
        }
        self.retries = self.retries.saturating_add(1);
        if self.retries == self.options.r1.max(1) {
            // SHLD-9: told between R1 and R2, in the way of a soft error.
            env.counters.tcp_r1_notices += 1;
            self.report(SocketError::TimedOut);
        }
    }

    /// A soft error: kept as the reason if the connection is given up, and told at once if the application wants reports
    /// (MUST-47, SHLD-20).
    pub fn report(&mut self, error: SocketError) {
        self.soft_error.get_or_insert(error);
        if self.options.report_soft_errors {
            self.error.get_or_insert(error);
            self.events |= Readiness::ERR;
        }
    }

    /// The peer does not answer: the end, with the soft error as the reason if there is one.
    pub fn give_up(&mut self) {
        self.die(Some(self.soft_error.unwrap_or(SocketError::TimedOut)));
    }

    /// RFC 5482 with Linux's beginning: the time counts from the first retransmission, or the first probe of a closed window.
    pub fn is_user_timeout_over(&self, now: Instant) -> bool {
        let over = |limit| self.troubled_since != NEVER && now.since(self.troubled_since) >= limit;
        self.options.user_timeout.is_some_and(over)
    }

    /// `wait`, but not beyond the end of the user timeout.
    pub fn within_user_timeout(&self, wait: Duration, now: Instant) -> Duration {
        match self.options.user_timeout {
            Some(limit) if self.troubled_since != NEVER => {
                wait.min(limit.saturating_sub(now.since(self.troubled_since)))
            }
            _ => wait,
        }
    }

    /// What the application has closed is kept for so long without progress (policy 29; hostile cases M4, M5).
    pub fn arm_orphan(&mut self, env: &Env) {
        let time = match self.state {
            State::FinWait2 => self.options.fin_wait_2_timeout,
            _ => env.config.orphan_timeout,
        };
        self.deadlines.set(Timer::Orphan, env.now + time);
    }
}

impl Tcp {
    /// Trouble with a connection that has not ended it (yet): what ICMP said last, or `TimedOut` between R1 and R2 (MUST-47,
    /// SHLD-9).
    pub fn soft_error(&self, id: TcpId) -> Option<SocketError> {
        self.connections.get(id.0)?.soft_error
    }

    /// Connections that their applications closed and that still wait for their peers (hostile case M5: the count is visible).
    pub fn orphans(&self) -> usize {
        self.orphans
    }
}
