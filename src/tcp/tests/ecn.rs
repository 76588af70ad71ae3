//! Explicit congestion notification (RFC 3168 §6.1; SHLD-8): who agrees on it, what is sent ECN-capable, the echo of marks, the
//! reduction.

use super::*;
use crate::tcp::config::{Ecn, SynCookies};
use crate::wire::ip::ecn::{CE, ECT0, NOT_ECT};

const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;
/// The flags of an ECN-setup SYN and of an ECN-setup SYN-ACK.
const ECN_SYN: Flags = SYN.with(ECE).with(CWR);
const ECN_SYN_ACK: Flags = SYN_ACK.with(ECE);

fn config(ecn: Ecn) -> TcpConfig {
    TcpConfig { ecn, ..plain() }
}

impl Bench {
    /// The peer's last ACK of a handshake from the listener, and accept.
    fn accepted(mut self) -> Self {
        self.now += ms(100);
        self.gets(seg(ACK, 1, 1));
        self.silent();
        self.id = Some(self.tcp.accept(self.listener.unwrap()).unwrap().0);
        self
    }

    /// A listener's connection with ECN.
    fn capable() -> Self {
        Bench::capable_on(Capabilities::plain(MSS + 40))
    }

    fn capable_on(capabilities: Capabilities) -> Self {
        let mut b = Bench::on(config(Ecn::Accept), capabilities).listen(1);
        b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
        b.sends(ECN_SYN_ACK, 0, 1);
        b.accepted()
    }

    /// Writes a segment's worth, which must leave like this.
    #[track_caller]
    fn data_leaves(&mut self, flags: Flags, seq: u32, ecn: u8) {
        self.write(&bytes(MSS)).unwrap();
        let sent = self.sends_data(flags.with(ACK).with(PSH), seq, 1, MSS);
        assert_eq!(sent.ecn, ecn);
    }

    fn ca_state(&self) -> RecoveryState {
        self.statistics().recovery
    }
}

/// RFC 3168 §6.1.1 (SHLD-8): an ECN-setup SYN with ECE and CWR is answered with ECE alone. Neither SYN nor SYN-ACK is ECN-capable, data
/// is; the DSCP stays.
#[test]
fn a_listener_agrees_with_who_asks() {
    let mut b = Bench::listening(TcpConfig { traffic_class: 0xb8, ..plain() });
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    assert_eq!(b.sends(ECN_SYN_ACK, 0, 1).ecn, NOT_ECT);
    let mut b = b.accepted();
    b.data_leaves(Flags::NONE, 1, ECT0);
    assert_eq!(b.ip.0, 0xb8 | ECT0);
    let info = b.statistics();
    assert_eq!((info.ecn, info.ecn_seen, info.get("tcpi_options")), (true, false, Some(8)));
}

/// RFC 3168 §6.1.1: one bit of the two asks for nothing.
#[test]
fn half_a_setup_asks_for_nothing() {
    for flags in [SYN, SYN.with(ECE), SYN.with(CWR)] {
        let mut b = Bench::listening(config(Ecn::Request));
        b.gets(seg(flags, 0, 0).mss(MSS as u16));
        b.sends(SYN_ACK, 0, 1);
        let mut b = b.accepted();
        b.data_leaves(Flags::NONE, 1, NOT_ECT);
        assert!(!b.statistics().ecn);
    }
}

/// RFC 3168 §6.1.1: no SYN is sent ECN-capable. A path that writes the field would mark every packet.
#[test]
fn a_syn_that_is_ecn_capable_itself_is_not_believed() {
    for field in [1, ECT0, CE] {
        let mut b = Bench::listening(plain());
        b.gets(seg(ECN_SYN, 0, 0).ecn(field));
        b.sends(SYN_ACK, 0, 1);
        let mut b = Bench::opening(config(Ecn::Request));
        b.sends(ECN_SYN, 0, 0);
        b.gets(seg(ECN_SYN_ACK, 0, 1).mss(MSS as u16).ecn(field));
        b.sends(ACK, 1, 1);
        b.data_leaves(Flags::NONE, 1, NOT_ECT);
    }
}

/// Policy 21: off means off, in both roles and for one socket as for all.
#[test]
fn ecn_may_be_switched_off() {
    let mut b = Bench::listening(config(Ecn::Off));
    b.gets(seg(ECN_SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    let mut b = Bench::opening(config(Ecn::Off));
    b.sends(SYN, 0, 0);
    let mut b = Bench::listening(config(Ecn::Request));
    let (listener, now) = (b.listener.unwrap(), b.now);
    let options = SocketOptions { ecn: Ecn::Off, ..b.tcp.options(listener).unwrap() };
    b.tcp.set_options(listener, options, now).unwrap();
    b.gets(seg(ECN_SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
}

/// RFC 3168 §6.1.1: the opener asks with both bits; ECE alone agrees. Both bits back are a peer that mirrors what it does not know.
#[test]
fn an_opener_takes_ece_alone_for_a_yes() {
    for (answer, field) in [(ECN_SYN_ACK, ECT0), (ECN_SYN_ACK.with(CWR), NOT_ECT), (SYN_ACK, NOT_ECT)] {
        let mut b = Bench::opening(config(Ecn::Request));
        assert_eq!(b.sends(ECN_SYN, 0, 0).ecn, NOT_ECT);
        b.gets(seg(answer, 0, 1).mss(MSS as u16));
        b.sends(ACK, 1, 1);
        b.data_leaves(Flags::NONE, 1, field);
    }
}

/// Policy 21: the default accepts and does not ask; a yes that nobody asked for is none (RFC 3168 §6.1.1).
#[test]
fn an_opener_that_did_not_ask_believes_no_yes() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(ECN_SYN_ACK, 0, 1).mss(MSS as u16));
    b.sends(ACK, 1, 1);
    b.data_leaves(Flags::NONE, 1, NOT_ECT);
    b.gets(seg(ACK, 1, 1_001).ecn(CE).data(b"marked"));
    b.silent();
}

/// RFC 3168 §6.1.1.1, policy 17: a retried SYN asks no more. Who sent it sends nothing ECN-capable (§6.1.1), but the first SYN may have
/// arrived all the same: then marks count.
#[test]
fn a_retried_syn_does_not_ask_again() {
    let mut b = Bench::opening(config(Ecn::Request));
    b.sends(ECN_SYN, 0, 0);
    b.after(ms(1_000));
    b.sends(SYN, 0, 0);
    b.gets(seg(ECN_SYN_ACK, 0, 1).mss(MSS as u16));
    b.sends(ACK, 1, 1);
    b.data_leaves(Flags::NONE, 1, NOT_ECT);
    b.gets(seg(ACK, 1, 1_001).ecn(CE).data(b"marked"));
    b.sends(ACK.with(ECE), 1_001, 7);
    assert!(b.statistics().ecn);
}

/// RFC 3168 §6.1.1, policy 17: the same for the SYN-ACK.
#[test]
fn a_retried_syn_ack_does_not_agree_again() {
    let mut b = Bench::listening(plain());
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    b.sends(ECN_SYN_ACK, 0, 1);
    b.after(ms(1_000));
    b.sends(SYN_ACK, 0, 1);
    let mut b = b.accepted();
    b.data_leaves(Flags::NONE, 1, NOT_ECT);
    b.gets(seg(ACK, 1, 1_001).ecn(CE).data(b"marked"));
    b.sends(ACK.with(ECE), 1_001, 7);
}

/// RFC 3168 §6.1.1: the peer's SYN again with both bits draws the same answer, one without them takes the wish back.
#[test]
fn a_repeated_syn_without_ecn_takes_it_back() {
    let mut b = Bench::listening(plain());
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    b.sends(ECN_SYN_ACK, 0, 1);
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    b.sends(ECN_SYN_ACK, 0, 1);
    b.gets(seg(SYN, 0, 0).mss(MSS as u16));
    b.sends(SYN_ACK, 0, 1);
    let mut b = b.accepted();
    b.data_leaves(Flags::NONE, 1, NOT_ECT);
}

/// RFC 3168 §6.1.1: crossing ECN-setup SYNs agree, and ECN-setup SYN-ACKs confirm it.
#[test]
fn crossing_syns_agree_if_both_ask() {
    let crossing = |ecn, syn, syn_ack, confirmation, field| {
        let mut b = Bench::opening(config(ecn));
        b.sends(if ecn == Ecn::Request { ECN_SYN } else { SYN }, 0, 0);
        b.gets(seg(syn, 0, 0).mss(MSS as u16));
        b.sends(syn_ack, 0, 1);
        b.gets(seg(confirmation, 0, 1).mss(MSS as u16));
        b.silent();
        b.data_leaves(Flags::NONE, 1, field);
    };
    crossing(Ecn::Request, ECN_SYN, ECN_SYN_ACK, ECN_SYN_ACK, ECT0);
    crossing(Ecn::Request, ECN_SYN, ECN_SYN_ACK, SYN_ACK, NOT_ECT);
    crossing(Ecn::Request, SYN, SYN_ACK, SYN_ACK, NOT_ECT);
    // Our own SYN did not ask.
    crossing(Ecn::Accept, ECN_SYN, SYN_ACK, ECN_SYN_ACK, NOT_ECT);
}

/// RFC 4987 §3.6: a SYN cookie remembers ECN in the timestamp. Without timestamps nothing would, so it is not agreed on.
#[test]
fn a_cookie_keeps_ecn_in_the_timestamp() {
    let config = TcpConfig { timestamps: true, syn_cookies: SynCookies::Always, ..plain() };
    let mut b = Bench::listening(config.clone());
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16).ts(7, 0));
    let ecr = b.sends(ECN_SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(8, ecr));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(b"capable").unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 1, 7).ecn, ECT0);

    let mut b = Bench::listening(config);
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    b.sends(SYN_ACK, 0, 1);
    let mut b = b.accepted();
    b.write(b"not capable").unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 1, 11).ecn, NOT_ECT);
}

/// RFC 3168 §6.1.3 (SHLD-8): from a marked packet on every acknowledgement carries ECE, data and pure ACK, until CWR comes. The first
/// mark and the CWR are answered at once.
#[test]
fn a_mark_is_echoed_until_cwr() {
    let mut b = Bench::capable();
    b.gets(seg(ACK, 1, 1).ecn(ECT0).data(b"plain"));
    b.silent();
    b.gets(seg(ACK, 6, 1).ecn(CE).data(b"marked"));
    b.sends(ACK.with(ECE), 1, 12);
    b.gets(seg(ACK, 12, 1).ecn(ECT0).data(b"next"));
    b.silent();
    b.write(b"data").unwrap();
    b.sends_data(ACK.with(PSH).with(ECE), 1, 16, 4);
    // Retransmissions and probes are acknowledgements, too.
    b.after(ms(300));
    b.sends_data(ACK.with(PSH).with(ECE), 1, 16, 4);
    b.gets(seg(ACK.with(CWR), 16, 5).ecn(ECT0).data(b"slow"));
    b.sends(ACK, 5, 20);
    b.gets(seg(ACK, 20, 5).ecn(ECT0).data(b"on"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 5, 22);
    assert_eq!((b.counters.tcp_marks_in, b.statistics().get("tcpi_options")), (1, Some(24)));
}

/// RFC 3168 §6.1.3: a packet with CWR that is marked itself begins the next echo.
#[test]
fn cwr_on_a_marked_packet_does_not_end_the_echo() {
    let mut b = Bench::capable();
    b.gets(seg(ACK, 1, 1).ecn(CE).data(b"marked"));
    b.sends(ACK.with(ECE), 1, 7);
    b.gets(seg(ACK.with(CWR), 7, 1).ecn(CE).data(b"again"));
    b.sends(ACK.with(ECE), 1, 12);
}

/// RFC 3168 §6.1.5: a mark counts on data in the window only; what is outside may be anybody's. No ACK is sent ECN-capable, so none
/// can be marked (§6.1.4).
#[test]
fn marks_elsewhere_are_ignored() {
    let mut b = Bench::capable();
    b.gets(seg(ACK, 1, 1).data(b"text"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1, 5);
    b.gets(seg(ACK, 1, 1).ecn(CE).data(b"text"));
    b.sends(ACK, 1, 5);
    b.gets(seg(ACK, 50_000, 1).ecn(CE).data(b"beyond"));
    b.sends(ACK, 1, 5);
    b.gets(seg(ACK, 5, 1).ecn(CE));
    b.gets(seg(ACK, 5, 1).data(b"more"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1, 9);
    assert_eq!(b.counters.tcp_marks_in, 0);
}

/// A super-segment is marked as a whole; text behind a gap is marked like any other.
#[test]
fn a_mark_behind_a_gap_is_echoed() {
    let mut b = Bench::capable();
    b.gets(seg(ACK, 3_001, 1).ecn(CE).data(&bytes(3_000)));
    b.sends(ACK.with(ECE), 1, 1);
}

/// RFC 3168 §6.1.2 (SHLD-8): the first echo halves the window, once for each window of data. The first new data afterwards carries CWR;
/// when that is acknowledged, the next echo counts.
#[test]
fn an_echo_halves_the_window_once() {
    let mut b = Bench::capable();
    b.write(&bytes(10_000)).unwrap();
    (0..10).for_each(|_| assert_eq!(b.next().unwrap().ecn, ECT0));
    b.gets(seg(ACK.with(ECE), 1, 2_001));
    assert_eq!((b.statistics().slow_start_threshold, b.ca_state()), (5, RecoveryState::Reduced));
    for acked in (3_001..=10_001).step_by(1_000) {
        b.gets(seg(ACK.with(ECE), 1, acked));
        b.silent();
    }
    assert_eq!((b.statistics().slow_start_threshold, b.statistics().congestion_window), (5, 5));
    assert_eq!(b.ca_state(), RecoveryState::Open);
    b.data_leaves(CWR, 10_001, ECT0);
    b.data_leaves(Flags::NONE, 11_001, ECT0);
    b.gets(seg(ACK.with(ECE), 1, 10_001));
    assert_eq!(b.statistics().slow_start_threshold, 5, "sent before CWR came");
    b.gets(seg(ACK, 1, 11_001));
    b.gets(seg(ACK.with(ECE), 1, 12_001));
    assert_eq!(b.statistics().slow_start_threshold, 2);
    b.data_leaves(CWR, 12_001, ECT0);
    assert_eq!((b.counters.tcp_echoes_in, b.counters.tcp_cwr_out), (11, 2));
}

/// RFC 3168 §6.1.2: a peer whose data goes one way echoes for as long as no CWR can be sent. That is still the one mark.
#[test]
fn an_echo_without_new_data_to_send_is_an_old_one() {
    let mut b = Bench::capable();
    b.write(&bytes(8_000)).unwrap();
    (0..8).for_each(|_| drop(b.next()));
    b.gets(seg(ACK.with(ECE), 1, 8_001));
    assert_eq!(b.statistics().slow_start_threshold, 4);
    for at in 0..5 {
        b.gets(seg(ACK.with(ECE), 1 + at, 8_001).ecn(ECT0).data(b"x"));
    }
    assert_eq!((b.statistics().slow_start_threshold, b.statistics().congestion_window), (4, 4));
}

/// RFC 5681 §3.1 equation 4, RFC 3168 §6.1.2: however many marks, two segments may always be under way, and new data does not wait for a
/// timer.
#[test]
fn echoes_leave_two_segments() {
    let mut b = Bench::capable();
    b.data_leaves(Flags::NONE, 1, ECT0);
    for i in 1..5 {
        b.gets(seg(ACK.with(ECE), 1, i * 1_000 + 1));
        assert_eq!(b.statistics().congestion_window, 2);
        b.data_leaves(CWR, i * 1_000 + 1, ECT0);
    }
}

/// RFC 3168 §6.1.1: nothing was sent that could be marked, so ECE on the ACK that ends the handshake echoes nothing; nor does ECE where
/// ECN was not agreed on.
#[test]
fn an_echo_of_nothing_is_ignored() {
    let mut b = Bench::listening(plain());
    b.gets(seg(ECN_SYN, 0, 0).mss(MSS as u16));
    b.sends(ECN_SYN_ACK, 0, 1);
    b.gets(seg(ACK.with(ECE), 1, 1));
    let mut b = b.accepted();
    assert_eq!(b.ca_state(), RecoveryState::Open);
    b.data_leaves(Flags::NONE, 1, ECT0);

    let mut b = Bench::established(plain());
    b.data_leaves(Flags::NONE, 1, NOT_ECT);
    b.gets(seg(ACK.with(ECE), 1, 1_001));
    assert_eq!((b.ca_state(), b.counters.tcp_echoes_in), (RecoveryState::Open, 0));
}

/// An ACK that newer ones have overtaken may carry an echo that was answered already.
#[test]
fn an_echo_on_an_old_ack_is_ignored() {
    let mut b = Bench::capable();
    b.write(&bytes(13_000)).unwrap();
    (0..10).for_each(|_| drop(b.next()));
    b.gets(seg(ACK.with(ECE), 1, 9_001));
    (0..3).for_each(|_| drop(b.next()));
    b.gets(seg(ACK, 1, 12_001));
    let ssthresh = b.statistics().slow_start_threshold;
    b.gets(seg(ACK.with(ECE), 1, 11_001));
    assert_eq!((b.statistics().slow_start_threshold, b.counters.tcp_echoes_in), (ssthresh, 1));
}

/// RFC 3168 §6.1.5: a retransmission is not ECN-capable and carries no CWR; the new data behind it tells of the loss's reduction,
/// which an echo does not repeat (§6.1.2).
#[test]
fn a_loss_is_told_by_cwr_on_new_data() {
    let mut b = Bench::capable();
    b.write(&bytes(10_000)).unwrap();
    (0..10).for_each(|_| drop(b.next()));
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1)));
    assert_eq!(b.sends_data(ACK, 1, 1, MSS).ecn, NOT_ECT);
    let ssthresh = b.statistics().slow_start_threshold;
    b.gets(seg(ACK.with(ECE), 1, 10_001));
    b.data_leaves(CWR, 10_001, ECT0);
    b.gets(seg(ACK.with(ECE), 1, 10_001));
    assert_eq!(b.statistics().slow_start_threshold, ssthresh);
}

/// RFC 3168 §6.1.2, §6.1.5: the same after a retransmission timeout.
#[test]
fn a_timeout_is_told_by_cwr_on_new_data() {
    let mut b = Bench::capable();
    b.data_leaves(Flags::NONE, 1, ECT0);
    b.after(ms(300));
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 1, MSS).ecn, NOT_ECT);
    b.gets(seg(ACK, 1, 1_001));
    b.data_leaves(CWR, 1_001, ECT0);
}

/// RFC 3168 §6.1.4, §6.1.6: pure ACKs, a FIN alone, and probes of a closed window and of a silent peer are not ECN-capable.
#[test]
fn only_new_data_is_ecn_capable() {
    let mut b = Bench::capable();
    b.gets(seg(ACK, 1, 1).ecn(ECT0).data(b"text"));
    b.silent();
    b.after(ms(40));
    assert_eq!(b.sends(ACK, 1, 5).ecn, NOT_ECT);
    b.write(&bytes(MSS)).unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 5, MSS).ecn, ECT0);
    b.gets(seg(ACK, 5, 1_001).window(0));
    b.write(b"waits").unwrap();
    b.silent();
    b.until_timer();
    assert_eq!(b.sends(ACK, 1_000, 5).ecn, NOT_ECT);
    b.gets(seg(ACK, 5, 1_001));
    assert_eq!(b.sends_data(ACK.with(PSH), 1_001, 5, 5).ecn, ECT0);
    b.gets(seg(ACK, 5, 1_006));
    b.shutdown();
    assert_eq!(b.sends(FIN_ACK, 1_006, 5).ecn, NOT_ECT);
}

/// RFC 3168 §6.1.2: a super-segment leaves whole; its first segment alone will carry CWR (`device::segment` holds that).
#[test]
fn a_super_segment_carries_cwr() {
    let mut b = Bench::capable_on(Capabilities::offload(MSS + 40));
    b.write(&bytes(10_000)).unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 1, 10_000).ecn, ECT0);
    b.gets(seg(ACK.with(ECE), 1, 10_001));
    b.write(&bytes(4_000)).unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH).with(CWR), 10_001, 1, 4_000).ecn, ECT0);
}

/// RFC 6582 §3.2 step 1 concerns the last repair: amid a reduction that a mark caused three duplicates are a loss like any other.
#[test]
fn a_loss_amid_a_reduction_by_mark_is_repaired() {
    let mut b = Bench::capable();
    b.write(&bytes(10 * MSS)).unwrap();
    while b.next().is_some() {}
    b.gets(seg(ACK.with(ECE), 1, 1_001));
    let reduced = b.statistics().slow_start_threshold;
    (0..3).for_each(|_| b.gets(seg(ACK, 1, 1_001)));
    b.sends_data(ACK, 1_001, 1, MSS);
    assert_eq!((b.counters.tcp_retransmits, b.statistics().slow_start_threshold), (1, reduced));
}

/// A connection keeps account of trouble only once there was some: neither its handshake is, nor an echo that delivers nothing.
#[test]
fn without_trouble_no_account_of_it_takes_memory() {
    let mut b = Bench::capable();
    b.write(&bytes(MSS)).unwrap();
    b.next().unwrap();
    b.gets(seg(ACK.with(Flags::ECE), 1, 1));
    assert_eq!(b.counters.tcp_echoes_in, 1);
    assert!(b.tcp.connections.at_mut(0).unwrap().trouble.as_mut().is_none());
}
