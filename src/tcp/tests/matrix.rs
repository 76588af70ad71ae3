//! Every state against every event that ends or disturbs it: which state follows and what goes out, as one table that a failing
//! cell prints.

use super::*;

/// A connection brought into `state` by the shortest way, with nothing left to send.
fn bench_in(state: State) -> Bench {
    use State::*;
    let mut b = match state {
        SynSent => {
            let mut b = Bench::opening(plain());
            b.sends(SYN, 0, 0);
            return b;
        }
        SynReceived => {
            let mut b = Bench::opening(plain());
            b.sends(SYN, 0, 0);
            b.gets(seg(SYN, 0, 0).mss(1000));
            b.sends(SYN_ACK, 0, 1);
            return b;
        }
        _ => Bench::established(plain()),
    };
    if matches!(state, CloseWait | LastAck) {
        b.gets(seg(FIN_ACK, 1, 1));
        b.sends(ACK, 1, 2);
    }
    if matches!(state, FinWait1 | FinWait2 | Closing | LastAck | TimeWait) {
        b.shutdown();
        b.next().expect("FIN");
    }
    if matches!(state, FinWait2 | TimeWait) {
        b.gets(seg(ACK, 1, 2));
    }
    if matches!(state, Closing | TimeWait) {
        b.gets(seg(FIN_ACK, 1, if state == TimeWait { 2 } else { 1 }));
        b.next().expect("ACK of FIN");
    }
    assert_eq!(b.state(), state);
    b.silent();
    b
}

const STATES: [State; 9] = [
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// RFC 9293 §3.10.4 (CLOSE): which state each state moves to, and what is sent.
#[test]
fn close_in_every_state() {
    use State::*;
    let expected = [
        (SynSent, Closed, None),
        (SynReceived, SynReceived, None),
        (Established, FinWait1, Some(FIN_ACK)),
        (FinWait1, FinWait1, None),
        (FinWait2, FinWait2, None),
        (CloseWait, LastAck, Some(FIN_ACK)),
        (Closing, Closing, None),
        (LastAck, LastAck, None),
        (TimeWait, TimeWait, None),
    ];
    for (state, next, sent) in expected {
        let mut b = bench_in(state);
        b.close();
        let out = b.next();
        println!("{state:<13} close -> {:<13} {out:?}", b.state());
        assert_eq!((b.state(), out.map(|out| out.flags)), (next, sent), "close in {state}");
        b.silent();
    }
}

/// RFC 9293 §3.10.7.4 second: an exact RST ends every state but TIME-WAIT (RFC 1337), in silence.
#[test]
fn an_exact_reset_in_every_state() {
    for state in STATES {
        let mut b = bench_in(state);
        let seq = match state {
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => 2,
            _ => 1,
        };
        b.gets(if state == State::SynSent { seg(RST_ACK, 0, 1) } else { seg(RST, seq, 0) });
        let next = if state == State::TimeWait { State::TimeWait } else { State::Closed };
        assert_eq!(b.state(), next, "RST in {state}");
        b.silent();
        if next == State::Closed {
            assert_eq!(b.tcp.poll_timeout(), None, "no timer is left in {state}");
        }
    }
}

/// RFC 9293 §3.10.7.4 eighth: FIN in every state past the handshake; one that comes again is acknowledged again.
#[test]
fn fin_in_every_state() {
    use State::*;
    let expected = [
        (Established, CloseWait),
        (FinWait1, Closing),
        (FinWait2, TimeWait),
        (CloseWait, CloseWait),
        (Closing, Closing),
        (LastAck, LastAck),
        (TimeWait, TimeWait),
    ];
    for (state, next) in expected {
        let mut b = bench_in(state);
        b.gets(seg(FIN_ACK, 1, if matches!(state, FinWait2 | TimeWait) { 2 } else { 1 }));
        assert_eq!(b.state(), next, "FIN in {state}");
        assert_eq!(b.next().map(|out| out.flags), Some(ACK), "FIN in {state} is acknowledged");
    }
}

/// RFC 5961 §4.2: a SYN in every synchronized state draws an ACK and changes nothing; TIME-WAIT answers an old one likewise.
#[test]
fn syn_in_every_synchronized_state() {
    for state in STATES.into_iter().filter(|state| state.is_synchronized()) {
        let mut b = bench_in(state);
        b.gets(seg(SYN, 0, 0));
        assert_eq!(b.next().map(|out| out.flags), Some(ACK), "SYN in {state}");
        assert_eq!(b.state(), state);
    }
}

/// RFC 9293 §3.10.2 (SEND) and §3.10.3 (RECEIVE) in every state.
#[test]
fn send_and_receive_in_every_state() {
    use SocketError::*;
    for state in STATES {
        let mut b = bench_in(state);
        let send = match state {
            State::SynSent | State::SynReceived => Err(WouldBlock),
            State::Established | State::CloseWait => Ok(1),
            _ => Err(BrokenPipe),
        };
        let open = matches!(
            state,
            State::SynSent | State::SynReceived | State::Established | State::FinWait1 | State::FinWait2
        );
        assert_eq!(b.write(b"x"), send, "send in {state}");
        assert_eq!(b.read(), if open { Err(WouldBlock) } else { Ok(vec![]) }, "receive in {state}");
    }
}
