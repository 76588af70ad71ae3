//! What happened, counted: every packet in and out, and every dropped one with its reason. Plain numbers in a plain struct,
//! one per stack; nothing here is atomic, because a stack has one owner at a time.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was dropped. Each reason has its counter, and its name is what tools print.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            /// The name in snake case, stable for scripts.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// Not IP at all: version nibble, or too short for a header.
    IpMalformed = "ip_malformed",
    /// IPv4 header checksum wrong.
    IpChecksum = "ip_checksum",
    /// A length field that contradicts the packet.
    IpLength = "ip_length",
    /// A source or destination address that may not appear on the wire (martian).
    IpMartian = "ip_martian",
    /// Not addressed to this stack.
    IpNotForUs = "ip_not_for_us",
    /// Broken or refused IPv4 options, source routes among them.
    IpOptions = "ip_options",
    /// IPv6 extension headers out of order, too many, or of a refused kind.
    IpExtension = "ip_extension",
    /// TTL or hop limit zero.
    IpTtl = "ip_ttl",
    /// No upper layer for this protocol number.
    IpProtocol = "ip_protocol",
    /// A fragment that overlaps another, or reaches beyond 65,535 bytes.
    FragmentInvalid = "fragment_invalid",
    /// Reassembly memory or fragment limits reached.
    FragmentLimit = "fragment_limit",
    /// A datagram whose fragments did not all arrive in time.
    FragmentTimeout = "fragment_timeout",
    /// The virtio-net header contradicts the packet.
    OffloadInvalid = "offload_invalid",
    /// ICMP checksum or length wrong.
    IcmpMalformed = "icmp_malformed",
    /// An ICMP message that this stack ignores on purpose.
    IcmpIgnored = "icmp_ignored",
    /// An ICMP reply not sent because of the rate limit.
    IcmpRateLimited = "icmp_rate_limited",
    /// UDP length or checksum wrong.
    UdpMalformed = "udp_malformed",
    /// No UDP socket on this port.
    UdpNoSocket = "udp_no_socket",
    /// The UDP socket's receive queue is full.
    UdpQueueFull = "udp_queue_full",
    /// TCP header length or port invalid.
    TcpMalformed = "tcp_malformed",
    /// TCP checksum wrong.
    TcpChecksum = "tcp_checksum",
    /// No connection and no listener.
    TcpNoSocket = "tcp_no_socket",
    /// Flags that make no sense in the state they met.
    TcpFlags = "tcp_flags",
    /// A sequence number outside the receive window.
    TcpOutOfWindow = "tcp_out_of_window",
    /// An acknowledgement number that cannot be.
    TcpBadAck = "tcp_bad_ack",
    /// An older timestamp than one already seen (PAWS, RFC 7323 §5).
    TcpPaws = "tcp_paws",
    /// A RST that does not hit the expected sequence number exactly (RFC 5961 §3).
    TcpRst = "tcp_rst",
    /// The SYN queue is full.
    TcpSynQueueFull = "tcp_syn_queue_full",
    /// The accept queue is full.
    TcpAcceptQueueFull = "tcp_accept_queue_full",
    /// The ACK that completes a handshake, while its listener waits for data.
    TcpDeferred = "tcp_deferred",
    /// Out-of-order data beyond what the reassembly queue holds.
    TcpReassemblyFull = "tcp_reassembly_full",
    /// Data that the stack had no memory for.
    TcpMemory = "tcp_memory",
    /// Data for a connection whose reader is gone.
    TcpAfterClose = "tcp_after_close",
    /// The queue of control packets towards the device is full.
    OutputQueueFull = "output_queue_full",
    /// The device refused a packet.
    DeviceRefused = "device_refused",
    /// Too many packets at once that may be for the stack of another queue.
    StrayLimit = "stray_limit",
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one stack. Read them with `Stack::counters`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            drops: Drops,
        }

        impl Counters {
            /// Every counter but the drops by its name, in the order of the struct.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Adds what another stack counted.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
                self.drops.0.iter_mut().zip(other.drops.0).for_each(|(own, other)| *own += other);
            }
        }
    };
}

counters! {
    /// Packets handed to the stack.
    ip_in,
    /// Packets (frames, before segmentation) the stack emitted.
    ip_out,
    /// Datagrams put together from fragments.
    reassembled,
    /// Fragments sent.
    fragments_out,
    /// ICMP messages received and understood.
    icmp_in,
    /// ICMP messages sent.
    icmp_out,
    /// UDP datagrams (super-datagrams count once) delivered to sockets.
    udp_in,
    /// UDP datagrams (super-datagrams count once) sent.
    udp_out,
    /// UDP datagrams delivered to sockets, those of super-datagrams each.
    udp_in_datagrams,
    /// UDP datagrams sent, those of super-datagrams each.
    udp_out_datagrams,
    /// TCP segments (super-segments count once) received.
    tcp_in,
    /// TCP segments (super-segments count once) sent.
    tcp_out,
    /// Received TCP segments that carried payload.
    tcp_in_data,
    /// TCP payload bytes received, duplicates included.
    tcp_in_bytes,
    /// Sent TCP segments that carried payload.
    tcp_out_data,
    /// TCP payload bytes sent, retransmissions included.
    tcp_out_bytes,
    /// Segments sent again.
    tcp_retransmits,
    /// Retransmission timeouts.
    tcp_timeouts,
    /// Tail loss probes sent.
    tcp_tail_probes,
    /// Repairs that turned out to be needless.
    tcp_undos,
    /// RST segments sent.
    tcp_rst_out,
    /// RST segments that ended a connection.
    tcp_rst_in,
    /// Challenge ACKs sent (RFC 5961).
    tcp_challenge_acks,
    /// Challenge ACKs held back by the limit of one per 500 ms and connection.
    tcp_challenge_acks_limited,
    /// ACKs that told a peer its numbers do not fit: empty segments out of the window, impossible acknowledgements.
    tcp_corrections,
    /// Such ACKs held back by the same limit.
    tcp_corrections_limited,
    /// Duplicates reported to peers (D-SACK, RFC 2883).
    tcp_dsacks_out,
    /// Connections opened actively.
    tcp_active_opens,
    /// Connections accepted from a listener's handshake.
    tcp_passive_opens,
    /// Times that R1 retransmissions of a segment were reached and the application could know (RFC 9293 §3.8.3).
    tcp_r1_notices,
    /// Keep-alive probes sent.
    tcp_keep_alives,
    /// Connections reset when their application closed them, because too many such waited for their peers already.
    tcp_orphans_refused,
    /// SYNs answered by a SYN cookie (RFC 4987).
    tcp_cookies_sent,
    /// Connections that a SYN cookie began.
    tcp_cookies_accepted,
    /// ACKs to a listener that sent cookies, without a valid one.
    tcp_cookies_failed,
    /// Received TCP segments that a router marked for congestion (RFC 3168).
    tcp_marks_in,
    /// Acknowledgements that echoed a mark.
    tcp_echoes_in,
    /// TCP segments that told the peer of a reduced window (CWR).
    tcp_cwr_out,
    /// Times that memory became scarce: three quarters of the limit were in use.
    tcp_memory_pressure,
    /// TIME-WAIT records evicted because the table was full.
    tcp_time_wait_evicted,
    /// Datagrams taken over from the stack of another queue.
    strays_adopted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Drops([0; DropReason::ALL.len()])
    }
}

impl Counters {
    /// Counts a dropped packet.
    pub fn drop(&mut self, reason: DropReason) {
        self.drops.0[reason as usize] += 1;
    }

    /// How many packets were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.0[reason as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.dropped(reason))).filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_is_counted_under_its_reason_only() {
        let mut counters = Counters::default();
        counters.drop(DropReason::TcpChecksum);
        counters.drop(DropReason::TcpChecksum);
        assert_eq!(counters.drops().collect::<Vec<_>>(), [(DropReason::TcpChecksum, 2)]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        names.extend(Counters::default().named().map(|(name, _)| name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
