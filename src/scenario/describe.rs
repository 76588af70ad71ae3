//! A packet of the stack in script notation, with the script's numbers: what diagnoses and `--verbose` show.

use super::icmp;
use super::numbers::Numbers;
use super::script::{
    Body, Direction, EcnNote, FlagSpec, IcmpSpec, IpNotes, OptionsSpec, PacketSpec, SeqRange, TcpOptionSpec,
    TcpSpec,
};
use super::view::{TcpView, View};
use crate::wire::tcp::Flags;

/// The packet as the script would write it; its ECN field only where it is set.
pub(super) fn packet(view: &View<'_>, numbers: &Numbers) -> Option<PacketSpec> {
    let ecn = match view.traffic_class() & 3 {
        1 => Some(EcnNote::Ect1),
        2 => Some(EcnNote::Ect0),
        3 => Some(EcnNote::Ce),
        _ => None,
    };
    let body = match (view.tcp(), view.udp(), view.icmp()) {
        (Some(tcp), ..) => Body::Tcp(segment(&tcp, numbers)),
        (_, Some((_, _, payload)), _) => Body::Udp { ports: None, len: payload.len() as u32 },
        (.., Some((kind, code, _))) => {
            let (kind, code) = icmp::names(kind, code, view.version() == 4);
            Body::Icmp(IcmpSpec { kind, code, mtu: None, id: None, echoed: None })
        }
        _ => return None,
    };
    Some(PacketSpec { direction: Direction::Outbound, notes: IpNotes { ecn, ..IpNotes::default() }, body })
}

fn segment(tcp: &TcpView<'_>, numbers: &Numbers) -> TcpSpec {
    let flags = Flags(tcp.flags());
    let syn = flags.has(Flags::SYN);
    let ack = if flags.has(Flags::ACK) { numbers.remote_to_script(tcp.ack(), syn) } else { tcp.ack() };
    let options = tcp.options().0.into_iter().map(|option| match option {
        TcpOptionSpec::Sack(edges) => TcpOptionSpec::Sack(
            edges
                .iter()
                .map(|&(l, r)| (numbers.remote_to_script(l, syn), numbers.remote_to_script(r, syn)))
                .collect(),
        ),
        TcpOptionSpec::Timestamps { val, ecr } => {
            TcpOptionSpec::Timestamps { val: numbers.timestamp_to_script(val), ecr }
        }
        other => other,
    });
    TcpSpec {
        ports: None,
        flags: FlagSpec { bits: flags.0, ae: tcp.ae(), ace: None },
        range: SeqRange { first: numbers.local_to_script(tcp.seq(), syn), len: tcp.payload.len() as u32 },
        ack: (flags.has(Flags::ACK) || ack != 0).then_some(ack),
        window: Some(tcp.window()),
        urgent: flags.has(Flags::URG).then(|| tcp.urgent()),
        options: OptionsSpec::List(options.collect()),
    }
}
