//! SYN cookies (RFC 4987 §3.6): a listener under a flood of SYNs (hostile case T10).

use super::*;
use crate::tcp::config::SynCookies;

/// A SYN queue of two, and everything a SYN can offer.
fn small_queue() -> TcpConfig {
    TcpConfig { syn_queue: 2, ..TcpConfig::default() }
}

/// Two half-open entries fill the queue.
fn flooded(config: TcpConfig) -> Bench {
    let mut b = Bench::listening(config);
    for port in 6000..6002 {
        b.tuple.remote.port = port;
        b.gets(seg(SYN, 0, 0));
        b.sends(SYN_ACK, 0, 1);
    }
    b.tuple.remote.port = 5000;
    b
}

fn rich_syn() -> Seg {
    seg(SYN, 0, 0).mss(900).scale(7).sack_permitted().ts(77, 0)
}

/// RFC 4987 §3.6: beyond the queue nothing is kept, not even a timer, and the handshake works all the same, with all its options.
#[test]
fn a_full_syn_queue_is_answered_by_a_cookie_that_keeps_the_options() {
    let mut b = flooded(small_queue());
    let (kept, timer) = (b.tcp.connections().count(), b.tcp.poll_timeout());
    b.gets(rich_syn());
    let syn_ack = b.sends(SYN_ACK, 0, 1);
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (kept, timer));
    let ts = syn_ack.options.timestamps.unwrap();
    assert_eq!((ts.ecr, syn_ack.options.sack_permitted), (77, true));
    assert!(syn_ack.options.window_scale.is_some());
    b.quiet_for(ms(100));
    b.gets(seg(ACK, 1, 1).ts(80, ts.val).window(100));
    b.silent();
    let (id, _) = b.tcp.accept(b.listener.unwrap()).unwrap();
    b.id = Some(id);
    let info = b.tcp.info(id).unwrap();
    assert_eq!((info.send_window, info.send_mss), (100 << 7, 536 - 12), "scale and MSS came back");
    b.gets(seg(ACK, 11, 1).ts(81, ts.val).data(b"gap"));
    assert_eq!(b.sends(ACK, 1, 1).options.sack.len(), 1, "SACK came back");
    assert_eq!((b.counters.tcp_cookies_sent, b.counters.tcp_cookies_accepted), (1, 1));
}

/// Without timestamps only the MSS comes back: the other options are not agreed, so that both ends know (RFC 4987 §3.6).
#[test]
fn a_cookie_without_timestamps_agrees_on_no_other_option() {
    let mut b = flooded(small_queue());
    b.gets(seg(SYN, 0, 0).mss(300).scale(7).sack_permitted());
    assert_eq!(b.sends(SYN_ACK, 0, 1).options, Options { mss: Some(MSS as u16), ..Options::default() });
    b.gets(seg(ACK, 1, 1).window(100));
    let (id, _) = b.tcp.accept(b.listener.unwrap()).unwrap();
    let info = b.tcp.info(id).unwrap();
    assert_eq!((info.send_window, info.send_mss), (100, 216));
}

/// Options are degraded by cookies only: an entry that fits into the queue keeps them exactly.
#[test]
fn a_syn_that_fits_into_the_queue_needs_no_cookie() {
    let mut b = Bench::listening(small_queue());
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(80, ecr));
    let (id, _) = b.tcp.accept(b.listener.unwrap()).unwrap();
    assert_eq!((b.tcp.info(id).unwrap().send_mss, b.counters.tcp_cookies_sent), (900 - 12, 0));
}

/// The bare ACK was lost: the data behind it brings the cookie, too, and nothing of it is lost.
#[test]
fn data_may_bring_the_cookie() {
    let mut b = flooded(small_queue());
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK.with(PSH), 1, 1).ts(80, ecr).data(b"hello"));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.read(), Ok(b"hello".to_vec()));
    b.sends(ACK, 1, 6);
}

/// Hostile case T10: a guessed acknowledgement is refused like any stray one, and counted.
#[test]
fn a_wrong_cookie_is_reset() {
    let mut b = flooded(small_queue());
    b.gets(rich_syn());
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 2));
    b.sends(RST, 2, 0);
    b.gets(seg(ACK, 2, 1));
    b.sends(RST, 1, 0);
    assert_eq!((b.counters.tcp_cookies_failed, b.state()), (2, State::Closed));
}

/// No cookie is believed unless one was sent of late, nor one that is older than two secrets.
#[test]
fn a_cookie_grows_old() {
    let mut b = flooded(TcpConfig { syn_ack_retries: 0, ..small_queue() });
    b.gets(rich_syn());
    b.sends(SYN_ACK, 0, 1);
    b.quiet_for(ms(121_000));
    b.gets(seg(ACK, 1, 1));
    b.sends(RST, 1, 0);
    assert_eq!(b.counters.tcp_cookies_failed, 0, "nobody looked");
}

/// A cookie counts while its secret is the current one or the one before, though no other was sent since: a minute at least.
#[test]
fn a_cookie_counts_for_a_minute() {
    let mut b = Bench::listening(TcpConfig { syn_cookies: SynCookies::Always, ..TcpConfig::default() });
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.quiet_for(ms(60_000));
    b.gets(seg(ACK, 1, 1).ts(80, ecr));
    assert_eq!((b.state(), b.counters.tcp_cookies_failed), (State::Established, 0));
}

/// RFC 9293 §3.10.7.1: a cookie's ACK to a listener that is gone, or with a full accept queue.
#[test]
fn a_cookie_waits_for_the_accept_queue() {
    let mut b = Bench::new(TcpConfig { syn_cookies: SynCookies::Always, ..TcpConfig::default() }).listen(1);
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    let waiting = (b.tuple, b.iss);
    b.tuple.remote.port = 5001;
    b.gets(rich_syn());
    let other = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(80, other));
    (b.tuple, b.iss) = waiting;
    b.gets(seg(ACK, 1, 1).ts(80, ecr));
    b.silent();
    assert_eq!((b.state(), b.dropped(DropReason::TcpAcceptQueueFull)), (State::Closed, 1));
    b.tcp.accept(b.listener.unwrap()).unwrap();
    b.gets(seg(ACK, 1, 1).ts(81, ecr).data(b"again"));
    assert_eq!(b.state(), State::Established);
}

/// A setting sends a cookie for every SYN, another none.
#[test]
fn cookies_can_be_always_on_or_off() {
    let mut b = Bench::listening(TcpConfig { syn_cookies: SynCookies::Always, ..TcpConfig::default() });
    b.gets(rich_syn());
    b.sends(SYN_ACK, 0, 1);
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
    let mut b = flooded(TcpConfig { syn_cookies: SynCookies::Off, ..small_queue() });
    b.gets(rich_syn());
    b.silent();
    assert_eq!(b.dropped(DropReason::TcpSynQueueFull), 1);
}

/// Hostile case T10: memory stays flat under a flood of spoofed SYNs, and an honest client gets in at once.
#[test]
fn a_flood_leaves_no_trace_and_an_honest_client_is_served() {
    let mut b = Bench::listening(TcpConfig { syn_queue: 64, ..TcpConfig::default() });
    for i in 0..20_000u32 {
        b.tuple.remote = Endpoint::new([10, 1, (i >> 8) as u8, i as u8].into(), 1024 + (i % 60_000) as u16);
        b.gets(seg(SYN, i, 0).mss(1460));
        b.next().expect("an answer");
    }
    assert_eq!((b.tcp.half_open.len(), b.tcp.owners.len()), (64, 64));
    b.tuple.remote = Endpoint::new([10, 0, 0, 1].into(), 5000);
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(ACK, 1, 1).ts(80, ecr));
    assert_eq!(b.state(), State::Established);
}

/// Hostile case T10, policy 17: entries that nobody completes are held within the queue's bound, their SYN-ACKs sent again five
/// times, and after their minute nothing of them is left: no entry, no owner, no timer, no place taken.
#[test]
fn ten_thousand_half_open_entries_expire() {
    let mut b = Bench::listening(TcpConfig { syn_queue: 10_000, ..TcpConfig::default() });
    let micros = |micros| crate::base::time::Duration::from_micros(micros);
    for i in 0..10_000u32 {
        b.tuple.remote = Endpoint::new([10, 1, (i >> 8) as u8, i as u8].into(), 1024 + i as u16);
        b.gets(seg(SYN, i, 0));
        b.next().expect("a SYN-ACK");
        b.now += micros(100);
    }
    assert_eq!((b.tcp.half_open.len(), b.counters.tcp_cookies_sent), (10_000, 0));
    let mut again = 0;
    while let Some(at) = b.tcp.poll_timeout() {
        b.now = at;
        b.tcp.handle_timeout(&mut b.counters, at);
        again += std::iter::from_fn(|| b.next()).count();
    }
    assert_eq!(again, 5 * 10_000);
    // 1 + 2 + 4 + 8 + 16 + 32 s after the last SYN came.
    assert_eq!(b.now.since(Instant::from_millis(1_000)), ms(63_000) + micros(999_900));
    assert_eq!((b.tcp.half_open.len(), b.tcp.owners.len()), (0, 0));
    assert_eq!(b.tcp.listeners.iter().map(|(_, listener)| listener.half_open).sum::<usize>(), 0);
}

/// Hostile case M10: a SYN with FIN or RST draws no cookie either, and a RST that brings one back begins nothing.
#[test]
fn nonsense_draws_no_cookie() {
    let mut b = Bench::listening(TcpConfig { syn_cookies: SynCookies::Always, ..TcpConfig::default() });
    b.gets(seg(SYN.with(FIN), 0, 0));
    b.gets(seg(SYN.with(RST), 0, 0));
    b.silent();
    b.gets(rich_syn());
    let ecr = b.sends(SYN_ACK, 0, 1).options.timestamps.unwrap().val;
    b.gets(seg(RST_ACK, 1, 1).ts(80, ecr));
    b.gets(seg(SYN_ACK, 0, 1).ts(80, ecr));
    b.sends(RST, 1, 0);
    assert_eq!((b.state(), b.counters.tcp_cookies_sent), (State::Closed, 1));
    assert_eq!(b.counters.tcp_cookies_failed, 0, "only a plain ACK can bring one");
}
