//! Where a pair of endpoints stands in sequence space, whatever holds it: a connection, a half-open entry, a TIME-WAIT record, a
//! listener, or nothing. Only to look at; the scenario runner judges by it what an arriving segment is.

use crate::base::counters::Counters;
use crate::base::time::Instant;
use crate::wire::ip::Endpoint;
use crate::wire::seq::SeqNum;

use super::segment::FourTuple;
use super::state::State;
use super::tcb::{Env, Tcb};
use super::{Owner, Tcp, TcpId, env};

/// State and edges of a connection. In CLOSED and LISTEN there are no numbers: they are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// SND.UNA.
    pub snd_una: SeqNum,
    /// SND.NXT.
    pub snd_nxt: SeqNum,
    /// RCV.NXT.
    pub rcv_nxt: SeqNum,
    /// RCV.WND in bytes.
    pub rcv_wnd: u32,
}

impl Standing {
    fn bare(state: State) -> Self {
        let none = SeqNum::default();
        Standing { state, snd_una: none, snd_nxt: none, rcv_nxt: none, rcv_wnd: 0 }
    }

    fn of(tcb: &Tcb) -> Self {
        Standing {
            state: tcb.state,
            snd_una: tcb.snd.una,
            snd_nxt: tcb.snd.nxt,
            rcv_nxt: tcb.rcv.nxt,
            rcv_wnd: tcb.rcv.wnd(),
        }
    }
}

impl Tcp {
    /// The connection between two ends, if there is one with a control block.
    pub fn id_of(&self, local: Endpoint, remote: Endpoint) -> Option<TcpId> {
        match self.owner(&FourTuple { local, remote }) {
            Some(Owner::Connection(index)) => self.connections.handle(index).map(TcpId),
            _ => None,
        }
    }

    /// How a segment from `remote` to `local` would find this stack.
    pub fn standing(&self, local: Endpoint, remote: Endpoint, now: Instant) -> Standing {
        let tuple = FourTuple { local, remote };
        let found = match self.owner(&tuple) {
            Some(Owner::Connection(index)) => self.connections.at(index).map(Standing::of),
            Some(Owner::HalfOpen(index)) => self.half_open.at(index).map(|entry| {
                let mut unused = Counters::default();
                let offset = self.secrets.timestamp_offset(&tuple);
                let options = self.listener_options(entry.listener);
                Standing::of(&entry.to_tcb(offset, options, &env!(self, &mut unused, now)))
            }),
            Some(Owner::TimeWait(index)) => self.time_wait.standing(index),
            None => None,
        };
        found.unwrap_or_else(|| {
            let listens = self.find_listener(&local).is_some();
            Standing::bare(if listens { State::Listen } else { State::Closed })
        })
    }
}
