//! The end of a script is the end of a process: its open sockets are dropped, as by `close`. What a connection then sends at
//! once follows from its state (RFC 9293 §3.10.4, §3.6.1), and is checked where a script asserts silence (`--leftover=fail`),
//! since no event comes after it. Where more is under way than the state tells, nothing is checked.

use super::calls::Socket;
use super::matrix::Event;
use super::run::Runner;
use super::verdict::Stop;
use super::view::View;
use crate::tcp::TcpId;
use crate::tcp::state::State;
use crate::wire::tcp::Flags;

/// What a dropped socket sends at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// Nothing: there is no connection, none yet, or our FIN is out already.
    Silence,
    /// One segment with FIN.
    Fin,
    /// One segment with RST: text was not read (SHLD-3), or `SO_LINGER` is zero.
    Reset,
    /// Whatever the queues and windows allow.
    Open,
}

/// `ready`: everything queued is acknowledged, and the peer's window has room. `aborts`: text is unread, or `SO_LINGER` is zero.
fn ending(state: State, aborts: bool, ready: bool) -> Ending {
    match state {
        State::Closed | State::Listen | State::TimeWait | State::SynSent => Ending::Silence,
        // The peer has closed, and a RST is of use only while it waits for our FIN.
        State::Closing | State::LastAck if aborts => Ending::Open,
        _ if aborts => Ending::Reset,
        State::Established | State::CloseWait if ready => Ending::Fin,
        State::Established | State::CloseWait => Ending::Open,
        State::SynReceived | State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => {
            Ending::Silence
        }
    }
}

fn fits(ending: Ending, sent: &[Flags]) -> bool {
    match (ending, sent) {
        (Ending::Silence, []) | (Ending::Open, _) => true,
        (Ending::Fin, [flags]) => flags.has(Flags::FIN),
        (Ending::Reset, [flags]) => flags.has(Flags::RST),
        _ => false,
    }
}

impl Runner<'_> {
    /// Drops every open socket.
    pub(super) fn drop_all(&mut self) -> Result<(), Stop> {
        for fd in self.descriptors.keys().copied().collect::<Vec<_>>() {
            self.note_call(fd, Event::Drop);
            let Some(descriptor) = self.descriptors.get(&fd).cloned() else { continue };
            let expected = match descriptor.socket {
                Socket::Connection(id) => self.expected_ending(fd, id),
                _ => Ending::Open,
            };
            self.queue.clear();
            self.descriptors.remove(&fd);
            self.give_up(&descriptor);
            self.collect();
            let view = |bytes: &[u8]| View::new(bytes)?.tcp().map(|tcp| Flags(tcp.flags()));
            let sent: Vec<Flags> = self.queue.iter().filter_map(|stamped| view(&stamped.bytes)).collect();
            if self.options.leftover_fails && !fits(expected, &sent) {
                let reason =
                    format!("the end of the process sent {sent:?} for descriptor {fd}, not {expected:?}");
                return Err(Stop::fail(reason));
            }
        }
        Ok(())
    }

    fn expected_ending(&mut self, fd: i64, id: TcpId) -> Ending {
        let linger = self.options_of(fd).ok().and_then(|options| options.linger);
        let now = self.host.now();
        let tcp = self.host.stack().tcp();
        let (Ok(info), Ok(statistics)) = (tcp.info(id), tcp.statistics(id, now)) else {
            return Ending::Silence;
        };
        let aborts = info.receive_queue > 0 || linger.is_some_and(|time| time.is_zero());
        let ready = info.send_queue == 0 && statistics.get("tcpi_snd_wnd").is_some_and(|window| window > 0);
        ending(info.state, aborts, ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Flags = Flags::ACK;
    const FIN: Flags = Flags::ACK.with(Flags::FIN);
    const RST: Flags = Flags::ACK.with(Flags::RST);

    /// RFC 9293 §3.10.4: a FIN where this side has not closed, a RST where text is lost, and nothing after the FIN.
    #[test]
    fn the_state_tells_what_a_dropped_socket_sends() {
        assert_eq!(ending(State::Established, false, true), Ending::Fin);
        assert_eq!(ending(State::CloseWait, false, true), Ending::Fin);
        assert_eq!(ending(State::Established, false, false), Ending::Open);
        assert_eq!(ending(State::CloseWait, true, true), Ending::Reset);
        assert_eq!(ending(State::FinWait2, true, true), Ending::Reset);
        for state in [State::SynSent, State::SynReceived, State::FinWait1, State::Closing, State::LastAck] {
            assert_eq!(ending(state, false, true), Ending::Silence, "{state}");
        }
        assert_eq!(ending(State::TimeWait, true, true), Ending::Silence);
    }

    #[test]
    fn anything_else_does_not_fit() {
        assert!(fits(Ending::Silence, &[]) && !fits(Ending::Silence, &[ACK]));
        assert!(fits(Ending::Fin, &[FIN]) && !fits(Ending::Fin, &[]) && !fits(Ending::Fin, &[RST]));
        assert!(
            fits(Ending::Reset, &[RST]) && !fits(Ending::Reset, &[FIN]) && !fits(Ending::Fin, &[FIN, FIN])
        );
        assert!(fits(Ending::Open, &[]) && fits(Ending::Open, &[ACK, FIN]));
    }
}
