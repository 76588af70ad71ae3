//! The persist timer: probing a window that holds queued data back (RFC 9293 §3.8.6.1), and the override of the sender's
//! silly-window avoidance.

use crate::base::socket::SocketError;

use super::tcb::{Env, Tcb};
use super::timers::Timer;

impl Tcb {
    /// The first probe comes after one RTO, later ones after twice as long each (SHLD-29, SHLD-30).
    pub fn arm_probe(&mut self, env: &Env) {
        let wait =
            self.rtt.rto(env.config).saturating_mul(1 << self.probe_backoff.min(16)).min(env.config.max_rto);
        self.deadlines.set(Timer::Probe, env.now + wait);
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
        if count >= most {
            self.die(Some(self.soft_error.unwrap_or(SocketError::TimedOut)));
            return;
        }
        self.probes += 1;
        self.probe_backoff = self.probe_backoff.saturating_add(1);
        if self.snd.wnd > 0 {
            self.override_due = true;
        } else {
            self.probe_due = true;
        }
        self.arm_probe(env);
    }
}
