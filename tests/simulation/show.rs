//! Packets in words, for whoever looks into a seed that failed: `TIDEGATE_SEED=12 TIDEGATE_SEEDS=1 TIDEGATE_TRACE=1 cargo test …`.

use tidegate::sim::{Fate, Moment, Network, Traced};
use tidegate::wire::tcp::TcpHeader;

/// Prints every packet if `TIDEGATE_TRACE` is set.
#[allow(dead_code)]
pub fn if_asked(network: &mut Network) {
    if std::env::var_os("TIDEGATE_TRACE").is_some() {
        network.set_tap(|traced, moment, node| {
            let states: Vec<_> =
                node.connections().iter().map(|connection| connection.state.name()).collect();
            let what = if moment == Moment::Sent { "sent" } else { "rcvd" };
            eprintln!("{what} {} [{}]", line(traced), states.join(" "));
        });
    }
}

/// One packet in words.
pub fn line(traced: &Traced) -> String {
    let bytes = &traced.bytes;
    let start = if bytes[0] >> 4 == 4 { 20 } else { 40 };
    let Some((tcp, header)) = bytes.get(start..).and_then(TcpHeader::parse) else {
        return format!("{:?} {:?}->{:?} {} bytes", traced.sent, traced.from, traced.to, bytes.len());
    };
    let fate = match traced.passage.fate {
        Fate::Arrives(at) => format!("arrives {at:?}"),
        fate => format!("{fate:?}"),
    };
    format!(
        "#{} {:?} {:?}->{:?} {:?} seq {:?} ack {:?} win {} len {} sack {:?} {fate}{}{}{}",
        traced.number,
        traced.sent,
        traced.from,
        traced.to,
        tcp.flags,
        tcp.seq,
        tcp.ack,
        tcp.window,
        bytes.len() - start - header,
        tcp.options.sack,
        if traced.passage.duplicate { " duplicate" } else { "" },
        if traced.passage.reordered { " reordered" } else { "" },
        if traced.passage.corrupted.is_some() { " corrupted" } else { "" },
    )
}
