//! The persist timer: probing a window that holds queued data back (RFC 9293 §3.8.6.1), and the override of the sender's
//! silly-window avoidance. Keep-alive: probing a peer that has been silent for long (§3.8.4).

use crate::base::time::Instant;

use super::giving_up::NEVER;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

impl Tcb {
    /// The first probe comes after one RTO, later ones after twice as long each (SHLD-29, SHLD-30).
    pub fn arm_probe(&mut self, env: &Env) {
        let wait =
            self.rtt.rto(env.config).saturating_mul(1 << self.probe_backoff.min(16)).min(env.config.max_rto);
        self.deadlines.set(Timer::Probe, env.now + self.within_user_timeout(wait, env.now));
    }

    /// The persist timer fired: probe a closed window for as long as the peer answers (MUST-37), or send into one that is
    /// open by less than the silly-window rule wants.
    pub fn on_probe_timeout(&mut self, env: &mut Env) {
        // Answers keep a connection with an owner open; an orphan's probes count whether answered or not (hostile case M4).
        let (count, most) = if self.orphan {
            (self.probe_backoff, env.config.orphan_retries)
        } else {
            (self.probes, env.config.probe_retries)
        };
        // RFC 6429: answers alone do not keep a connection for longer than its user wants (hostile case M4).
        if count >= most || self.is_user_timeout_over(env.now) {
            return self.give_up();
        }
        if self.troubled_since == NEVER {
            self.troubled_since = env.now;
        }
        self.probes = self.probes.saturating_add(1);
        self.probe_backoff = self.probe_backoff.saturating_add(1);
        if self.snd.wnd > 0 {
            self.override_due = true;
        } else {
            self.probe_due = true;
        }
        self.arm_probe(env);
    }

    /// Starts to watch for a peer that has gone, if the application wants that (MUST-24); or stops.
    pub fn arm_keep_alive(&mut self, now: Instant) {
        if self.is_watched() {
            self.deadlines.set(Timer::KeepAlive, (self.heard_at + self.options.keep_idle).max(now));
        } else {
            self.deadlines.clear(Timer::KeepAlive);
        }
    }

    fn is_watched(&self) -> bool {
        self.options.keep_alive && self.state.is_synchronized() && !self.orphan
    }

    /// Time for a look (RFC 9293 §3.8.4). A probe goes out only if the peer was silent for long enough and owes no answer for
    /// anything else (MUST-26); it carries nothing (SHLD-12) and stands before the window, so that a peer which lives must
    /// answer. Several must stay unanswered before the connection is over (MUST-29), or the user timeout instead, as on Linux.
    /// True if it is over: the peer is told by a RST, in case it lives.
    pub fn on_keep_alive(&mut self, env: &mut Env) -> bool {
        if !self.is_watched() {
            return false;
        }
        let options = self.options.clone();
        let waits = !self.flight.sent.is_empty() || self.unsent() > 0;
        let silent = env.now.since(self.heard_at);
        if waits || silent < options.keep_idle {
            let wait = if waits { options.keep_idle } else { options.keep_idle - silent };
            self.deadlines.set(Timer::KeepAlive, env.now + wait);
            return false;
        }
        let gone = match options.user_timeout {
            Some(limit) => self.probes > 0 && silent >= limit,
            None => self.probes >= options.keep_probes,
        };
        if gone {
            return true;
        }
        self.probes = self.probes.saturating_add(1);
        self.probe_due = true;
        env.counters.tcp_keep_alives += 1;
        self.deadlines.set(Timer::KeepAlive, env.now + options.keep_interval);
        false
    }
}
