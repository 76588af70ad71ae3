//! `TCP_INFO`: what a snapshot tells in the life of a connection.

use super::*;

/// Some values by Linux's names.
#[track_caller]
fn tells(b: &Bench, expected: &[(&str, u64)]) {
    let statistics = b.statistics();
    for &(name, value) in expected {
        assert_eq!(statistics.get(name), Some(value), "{name} of {statistics:?}");
    }
}

/// A connection just accepted: one round trip of 100 ms was measured, and the SYN-ACK counts as delivered.
#[test]
fn a_new_connection_tells_what_was_agreed() {
    let config = TcpConfig { timestamps: true, sack: true, window_scaling: true, ..plain() };
    let mut b = Bench::listening(config);
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).window(9_000).sack_permitted().scale(0).ts(1, 0));
    assert_eq!(b.sends(SYN_ACK, 0, 1).options.window_scale, Some(0), "offered though both shifts are zero");
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1).window(9_000).ts(2, 0));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    tells(&b, &[("tcpi_state", 1), ("tcpi_ca_state", 0), ("tcpi_options", 7), ("tcpi_advmss", 1_000)]);
    tells(
        &b,
        &[("tcpi_snd_mss", 988), ("tcpi_rcv_mss", 536), ("tcpi_snd_wnd", 9_000), ("tcpi_rcv_wnd", 10_000)],
    );
    tells(
        &b,
        &[("tcpi_rtt", 100_000), ("tcpi_rttvar", 50_000), ("tcpi_min_rtt", 100_000), ("tcpi_rto", 300_000)],
    );
    tells(
        &b,
        &[
            ("tcpi_snd_wscale", 0),
            ("tcpi_rcv_wscale", 0),
            ("tcpi_pmtu", 1_040),
            ("tcpi_rcv_ssthresh", 10_000),
        ],
    );
    tells(&b, &[("tcpi_ato", 40_000), ("tcpi_snd_cwnd", 10), ("tcpi_snd_ssthresh", 0x7fff_ffff)]);
    tells(&b, &[("tcpi_delivered", 1), ("tcpi_bytes_acked", 0), ("tcpi_unacked", 0), ("tcpi_reordering", 3)]);
}

/// Flight, loss and repair, in segments; RFC 4898's octets.
#[test]
fn segments_are_counted_by_their_fate() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_500)).unwrap();
    tells(&b, &[("tcpi_notsent_bytes", 2_500), ("tcpi_unacked", 0)]);
    (0..3).for_each(|_| drop(b.next().unwrap()));
    tells(&b, &[("tcpi_notsent_bytes", 0), ("tcpi_unacked", 3), ("tcpi_lost", 0)]);
    assert_eq!(b.statistics().in_flight, 2_500);
    b.gets(seg(ACK, 1, 1));
    tells(&b, &[("tcpi_ca_state", 1)]);
    b.until_timer();
    tells(&b, &[("tcpi_ca_state", 4), ("tcpi_lost", 3), ("tcpi_retransmits", 1), ("tcpi_backoff", 1)]);
    b.sends_data(ACK, 1, 1, MSS);
    tells(&b, &[("tcpi_lost", 3), ("tcpi_retrans", 1), ("tcpi_total_retrans", 1), ("tcpi_rto", 600_000)]);
    assert_eq!(b.statistics().lost, 2, "those that wait");
    assert_eq!(b.statistics().in_flight, 1_000, "what was sent again");
    tells(&b, &[("tcpi_snd_cwnd", 1), ("tcpi_snd_ssthresh", 2)]);
    let info = b.tcp.info(b.id()).unwrap();
    assert_eq!((info.slow_start_threshold, info.rttvar, info.min_rtt), (2_000, Some(ms(50)), Some(ms(100))));
    b.gets(seg(ACK, 1, 2_501));
    tells(&b, &[("tcpi_unacked", 0), ("tcpi_delivered", 4), ("tcpi_bytes_acked", 2_500), ("tcpi_lost", 0)]);
    tells(&b, &[("tcpi_ca_state", 0), ("tcpi_retransmits", 0), ("tcpi_total_retrans", 1)]);
    assert_eq!(b.statistics().in_flight, 0);
}

/// The SYN of an active open is a segment and a sequence number as any other, its retransmission too; so are both FINs.
#[test]
fn syn_and_fin_count_as_segments_and_numbers() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    tells(&b, &[("tcpi_state", 2), ("tcpi_unacked", 1)]);
    b.until_timer();
    b.sends(SYN, 0, 0);
    tells(&b, &[("tcpi_retransmits", 1), ("tcpi_total_retrans", 1), ("tcpi_backoff", 1)]);
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
    tells(&b, &[("tcpi_delivered", 1), ("tcpi_bytes_acked", 1), ("tcpi_retransmits", 0)]);
    b.gets(seg(FIN_ACK, 1, 1).data(b"abc"));
    b.sends(ACK, 1, 5);
    tells(&b, &[("tcpi_state", 8), ("tcpi_bytes_received", 4), ("tcpi_delivered", 1)]);
    b.shutdown();
    b.sends(FIN_ACK, 1, 5);
    tells(&b, &[("tcpi_state", 9), ("tcpi_unacked", 1)]);
    b.gets(seg(ACK, 5, 2));
    tells(&b, &[("tcpi_state", 7), ("tcpi_bytes_acked", 2), ("tcpi_delivered", 2)]);
}

/// A FIN rides on the last segment: it is none of its own.
#[test]
fn a_fin_on_a_full_segment_is_no_further_segment() {
    let mut b = Bench::established(plain());
    b.write(&bytes(MSS)).unwrap();
    b.shutdown();
    b.sends_data(FIN_ACK.with(PSH), 1, 1, MSS);
    tells(&b, &[("tcpi_unacked", 1)]);
    b.gets(seg(ACK, 1, MSS as u32 + 2));
    tells(&b, &[("tcpi_delivered", 2), ("tcpi_bytes_acked", 1_001)]);
}

/// Time since data and acknowledgements, and RFC 4898's times of sending: busy in all, and held back by the peer's window.
#[test]
fn times_are_told_in_milliseconds() {
    let mut b = Bench::established_with(plain(), 1_000);
    b.after(ms(50));
    tells(&b, &[("tcpi_last_ack_recv", 50), ("tcpi_last_data_sent", 50), ("tcpi_busy_time", 0)]);
    b.write(&bytes(2_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.after(ms(20));
    tells(&b, &[("tcpi_busy_time", 20_000), ("tcpi_rwnd_limited", 20_000), ("tcpi_last_data_sent", 20)]);
    b.gets(seg(ACK, 1, 1_001).window(2_000).data(b"x"));
    b.sends_data(ACK.with(PSH), 1_001, 1 + 1, MSS);
    b.after(ms(30));
    tells(&b, &[("tcpi_busy_time", 50_000), ("tcpi_rwnd_limited", 20_000), ("tcpi_last_data_recv", 30)]);
    b.gets(seg(ACK, 2, 2_001).window(2_000));
    b.after(ms(30));
    tells(&b, &[("tcpi_busy_time", 50_000), ("tcpi_last_ack_recv", 30), ("tcpi_last_data_recv", 60)]);
}

/// Octets sent, once and again; timeouts; the delivery rate of the newest sample (RFC 4898 `DataOctetsOut`, `OctetsRetrans`,
/// `Timeouts`). What is sent once is counted without its SYN and its FIN.
#[test]
fn octets_timeouts_and_rates_are_told() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_000)).unwrap();
    b.shutdown();
    tells(&b, &[("tcpi_bytes_sent", 0), ("tcpi_total_rto", 0), ("tcpi_delivery_rate", 0)]);
    (0..2).for_each(|_| drop(b.next().unwrap()));
    tells(&b, &[("tcpi_bytes_sent", 2_000), ("tcpi_bytes_retrans", 0), ("tcpi_pacing_rate", u64::MAX)]);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    tells(&b, &[("tcpi_bytes_sent", 3_000), ("tcpi_bytes_retrans", 1_000), ("tcpi_total_rto", 1)]);
    b.after(ms(100));
    b.gets(seg(ACK, 1, 2_002));
    // Timestamps are off: what was sent again may be the original, and gives no better sample than the 2,000 of 400 ms.
    tells(&b, &[("tcpi_bytes_sent", 3_000), ("tcpi_bytes_retrans", 1_000), ("tcpi_total_rto", 1)]);
    assert!(b.statistics().delivery_rate > 0);
}

/// RFC 4898 `SndLimTimeSnd`, Linux's `tcpi_sndbuf_limited`: all that was written is under way, and the writer waits for room. It ends
/// with the room.
#[test]
fn a_full_send_buffer_is_told_as_the_limit() {
    let mut b = Bench::established(TcpConfig { send_buffer: 2_000, send_buffer_initial: 2_000, ..plain() });
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    b.silent();
    b.after(ms(10));
    tells(&b, &[("tcpi_busy_time", 10_000), ("tcpi_sndbuf_limited", 0)]);
    assert_eq!(b.write(&bytes(1_500)), Ok(1_000));
    b.sends_data(ACK.with(PSH), 1_001, 1, MSS);
    b.silent();
    b.after(ms(20));
    tells(&b, &[("tcpi_busy_time", 30_000), ("tcpi_sndbuf_limited", 20_000), ("tcpi_rwnd_limited", 0)]);
    b.gets(seg(ACK, 1, 1_001));
    b.silent();
    b.after(ms(40));
    tells(&b, &[("tcpi_busy_time", 70_000), ("tcpi_sndbuf_limited", 20_000)]);
}

/// RFC 4898 `SegsOut`: everything that leaves counts, the answer to the SYN and acknowledgements, too.
#[test]
fn every_segment_sent_is_counted() {
    let mut b = Bench::established(plain());
    tells(&b, &[("tcpi_segs_out", 1)]);
    b.write(&bytes(2_500)).unwrap();
    (0..3).for_each(|_| drop(b.next().unwrap()));
    tells(&b, &[("tcpi_segs_out", 4), ("tcpi_data_segs_out", 3)]);
    b.until_timer();
    b.sends_data(ACK, 1, 1, MSS);
    tells(&b, &[("tcpi_segs_out", 5), ("tcpi_data_segs_out", 4)]);
    b.gets(seg(FIN_ACK, 1, 2_501));
    b.sends(ACK, 2_501, 2);
    tells(&b, &[("tcpi_segs_out", 6), ("tcpi_data_segs_out", 4)]);
}

/// RFC 4898 `SegsIn`, `DataSegsIn`: everything that comes counts, the SYN and its repetition, text that came twice, and each segment of
/// what the device has joined.
#[test]
fn every_segment_received_is_counted() {
    let mut b = Bench::listening(plain());
    for _ in 0..2 {
        b.gets(seg(SYN, 0, 0).mss(MSS as u16).window(60_000));
        b.sends(SYN_ACK, 0, 1);
    }
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    tells(&b, &[("tcpi_segs_in", 3), ("tcpi_data_segs_in", 0)]);
    let joined = Offload::Tcp { mss: MSS as u16, start: 20 };
    b.gets_joined(seg(ACK, 1, 1).data(&bytes(2_500)), joined);
    tells(&b, &[("tcpi_segs_in", 6), ("tcpi_data_segs_in", 3)]);
    b.gets(seg(ACK, 1, 1).data(&bytes(10)));
    b.gets_joined(seg(ACK, 2_501, 1), joined);
    tells(&b, &[("tcpi_segs_in", 8), ("tcpi_data_segs_in", 4)]);
}

/// Linux's `tcpi_segs_in` of an active open: the SYN-ACK is the first.
#[test]
fn the_segments_of_an_active_open_begin_with_the_syn_ack() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
    tells(
        &b,
        &[("tcpi_segs_in", 1), ("tcpi_segs_out", 2), ("tcpi_data_segs_in", 0), ("tcpi_data_segs_out", 0)],
    );
}

/// Linux's `tcpi_rcv_ooopack`: what came behind a gap, each segment of it.
#[test]
fn segments_behind_a_gap_are_counted() {
    let mut b = Bench::established(plain());
    tells(&b, &[("tcpi_rcv_ooopack", 0)]);
    b.gets_joined(seg(ACK, 1_001, 1).data(&bytes(2_000)), Offload::Tcp { mss: MSS as u16, start: 20 });
    b.gets(seg(ACK, 1, 1).data(&bytes(MSS)));
    tells(&b, &[("tcpi_rcv_ooopack", 2), ("tcpi_bytes_received", 3_000)]);
}

/// Linux's `tcpi_total_rto_recoveries` and `tcpi_total_rto_time`: two timeouts in a row are one run, which ends with an acknowledgement
/// of something new.
#[test]
fn runs_of_timeouts_are_counted_and_timed() {
    let mut b = Bench::established(plain());
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    for again in 1..=2 {
        b.until_timer();
        b.sends_data(ACK.with(PSH), 1, 1, MSS);
        tells(&b, &[("tcpi_total_rto", again), ("tcpi_total_rto_recoveries", 1)]);
    }
    tells(&b, &[("tcpi_total_rto_time", 600)]);
    b.after(ms(50));
    b.gets(seg(ACK, 1, 1_001));
    b.after(ms(50));
    tells(&b, &[("tcpi_total_rto", 2), ("tcpi_total_rto_recoveries", 1), ("tcpi_total_rto_time", 650)]);
}

/// RFC 3168 (Linux's `tcpi_delivered_ce`, `tcpi_received_ce`): marks that the peer echoed, and marks on what it sent.
#[test]
fn marks_are_counted_in_both_directions() {
    let (ece, cwr) = (Flags::ECE, Flags::CWR);
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN.with(ece).with(cwr), 0, 0).mss(MSS as u16).window(60_000));
    b.sends(SYN_ACK.with(ece), 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(&bytes(3_000)).unwrap();
    (0..3).for_each(|_| drop(b.next().unwrap()));
    b.gets(seg(ACK.with(ece), 1, 2_001));
    tells(&b, &[("tcpi_delivered", 3), ("tcpi_delivered_ce", 2), ("tcpi_received_ce", 0)]);
    b.gets(seg(ACK, 1, 3_001).data(b"plain"));
    b.gets(seg(ACK, 6, 3_001).data(b"marked").ecn(3));
    tells(&b, &[("tcpi_delivered", 4), ("tcpi_delivered_ce", 2), ("tcpi_received_ce", 1)]);
}

/// What the application allows at most is told, and that it is paced to.
#[test]
fn the_largest_rate_is_told() {
    let mut b = Bench::established(plain());
    tells(&b, &[("tcpi_max_pacing_rate", u64::MAX), ("tcpi_pacing_rate", u64::MAX)]);
    b.set_options(|options| options.max_pacing_rate = Some(5_000));
    tells(&b, &[("tcpi_max_pacing_rate", 5_000), ("tcpi_pacing_rate", 5_000)]);
}

/// RFC 4022: opens, segments in and out, resets, and what text brought, for the whole stack.
#[test]
fn the_stack_counts_what_passes() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(RST_ACK, 0, 1));
    let counters = &b.counters;
    assert_eq!((counters.tcp_active_opens, counters.tcp_rst_in, counters.tcp_rst_out), (1, 1, 0));
    assert_eq!((counters.tcp_in, counters.tcp_out), (1, 1));
    b.gets(seg(ACK, 5, 5));
    b.sends(RST, 5, 0);
    assert_eq!((b.counters.tcp_in, b.counters.tcp_out, b.counters.tcp_rst_out), (2, 2, 1));
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"abc"));
    b.gets(seg(ACK, 4, 1).data(b"defg"));
    b.gets(seg(RST, 8, 0));
    let counters = &b.counters;
    assert_eq!((counters.tcp_in_data, counters.tcp_in_bytes, counters.tcp_rst_in), (2, 7, 1));
}

/// The delivery rate is in bytes a second, and that of the last sample; one that is smaller only because the application had so little
/// to send is not taken.
#[test]
fn the_delivery_rate_is_told_in_bytes_a_second() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_000)).unwrap();
    while b.next().is_some() {}
    b.after(ms(200));
    b.gets(seg(ACK, 1, 2_001));
    assert!((9_000..=10_000).contains(&b.statistics().delivery_rate), "{}", b.statistics().delivery_rate);
    b.write(b"x").unwrap();
    while b.next().is_some() {}
    b.after(ms(200));
    b.gets(seg(ACK, 1, 2_002));
    assert!((9_000..=10_000).contains(&b.statistics().delivery_rate), "{}", b.statistics().delivery_rate);
}

/// The stack's counters: segments that leave, those with data and their bytes (a FIN is none), and what goes again, a SYN too.
#[test]
fn the_stack_counts_what_leaves() {
    let mut b = Bench::opening(plain());
    let counted = |b: &Bench| {
        let c = &b.counters;
        [c.tcp_out, c.tcp_retransmits, c.tcp_out_data, c.tcp_out_bytes]
    };
    b.sends(SYN, 0, 0);
    assert_eq!(counted(&b), [1, 0, 0, 0]);
    b.until_timer();
    b.sends(SYN, 0, 0);
    assert_eq!(counted(&b), [2, 1, 0, 0]);
    tells(&b, &[("tcpi_segs_out", 2)]);
    b.gets(seg(SYN_ACK, 0, 1).mss(MSS as u16));
    b.sends(ACK, 1, 1);
    b.write(&bytes(500)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 500);
    assert_eq!(counted(&b), [4, 1, 1, 500]);
    b.shutdown();
    b.sends(FIN_ACK, 501, 1);
    assert_eq!(counted(&b), [5, 1, 1, 500]);
}

/// RFC 4898 `OctetsRetrans`: a FIN that goes again is no octet. One that waits for a window keeps nobody busy.
#[test]
fn a_fin_is_no_octet() {
    let mut b = Bench::established(plain());
    b.write(&bytes(500)).unwrap();
    b.shutdown();
    b.sends_data(FIN_ACK.with(PSH), 1, 1, 500);
    b.until_timer();
    b.sends_data(FIN_ACK.with(PSH), 1, 1, 500);
    tells(&b, &[("tcpi_bytes_sent", 1_000), ("tcpi_bytes_retrans", 500)]);
    let mut b = Bench::established_with(plain(), 0);
    b.shutdown();
    b.silent();
    b.after(ms(50));
    tells(&b, &[("tcpi_busy_time", 0)]);
}

/// RFC 4898 `DataOctetsOut` never goes back: what was under way at a reset was sent all the same; a SYN is no octet.
#[test]
fn what_was_sent_before_a_reset_stays_sent() {
    let mut b = Bench::established(plain());
    b.write(&bytes(3_500)).unwrap();
    b.shutdown();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    while b.next().is_some() {}
    for flags in [ACK, RST] {
        tells(&b, &[("tcpi_bytes_sent", 3_500), ("tcpi_bytes_acked", 1_000)]);
        b.gets(seg(flags, 1, 1_001));
    }
    tells(&b, &[("tcpi_state", 7), ("tcpi_bytes_sent", 3_500), ("tcpi_bytes_acked", 1_000)]);
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(RST.with(ACK), 0, 1));
    tells(&b, &[("tcpi_state", 7), ("tcpi_bytes_sent", 0)]);
}

/// `tcpi_delivery_rate_app_limited`: what leaves while there is too little to fill the window says nothing about the path; a window
/// filled to the last segment is no lack of data.
#[test]
fn a_rate_is_limited_by_the_application_where_the_window_is_not_full() {
    for (first, limited) in [(4, 1), (10, 0)] {
        let mut b = Bench::established(plain());
        b.write(&bytes(first * MSS)).unwrap();
        while b.next().is_some() {}
        b.now += ms(100);
        b.gets(seg(ACK, 1, 1_001));
        b.write(&bytes(2 * MSS)).unwrap();
        while b.next().is_some() {}
        b.now += ms(100);
        b.gets(seg(ACK, 1, b.next_seq()));
        tells(&b, &[("tcpi_delivery_rate_app_limited", limited)]);
    }
}

/// `TCP_CA_Disorder`: something was reported behind a hole, or repeated without SACK, and nothing is lost yet.
#[test]
fn what_came_out_of_order_is_told_before_it_is_a_loss() {
    for with_sack in [true, false] {
        let mut b = super::loss::sacking(|config| config.sack = with_sack);
        super::loss::flight(&mut b, 4);
        b.now += ms(100);
        let report = super::loss::sack(&b, 1, &[(1_001, 2_001)]);
        b.gets(if with_sack { report } else { seg(ACK, 1, 1) });
        tells(&b, &[("tcpi_ca_state", 1)]);
        b.gets(seg(ACK, 1, 2_001));
        tells(&b, &[("tcpi_ca_state", 0)]);
    }
}
