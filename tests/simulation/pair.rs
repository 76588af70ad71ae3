//! Two hosts, two applications that write, read and close as a seed tells them, and what must hold in the end.

use std::io::IoSlice;
use std::net::{IpAddr, Shutdown, SocketAddr};

use tidegate::base::rng::Rng;
use tidegate::base::socket::SocketError;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::{HostId, LinkConfig, Network};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::state::State;
use tidegate::tcp::{ListenerId, TcpId};

pub const PORT: u16 = 80;

/// The addresses of the two hosts.
pub fn addrs(v6: bool) -> [IpAddr; 2] {
    if v6 {
        [IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 1]), IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 2])]
    } else {
        [IpAddr::from([10, 77, 0, 1]), IpAddr::from([10, 77, 0, 2])]
    }
}

/// A host with one address.
pub fn host(network: &mut Network, addr: IpAddr, tcp: TcpConfig, capabilities: Capabilities) -> HostId {
    let prefix = if addr.is_ipv4() { 24 } else { 64 };
    network.add_host(StackConfig { addrs: vec![(addr, prefix)], tcp }, capabilities).unwrap()
}

/// The byte at `offset` of a stream: every place differs from its neighbours, and the streams from each other.
pub fn pattern(stream: u64, offset: usize) -> u8 {
    let mixed =
        (offset as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 29) as u8
}

/// What an application does with its connection.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes to write.
    pub writes: usize,
    /// The most that one call writes or reads.
    pub chunk: usize,
    /// It closes its direction only after the peer did.
    pub waits_for_eof: bool,
    /// It gives the socket up instead of shutting it down, if nothing is to come.
    pub drops: bool,
    /// How often it rests, from 0 to 1.
    pub pauses: f64,
}

/// An application at one end of a connection.
pub struct App {
    pub host: HostId,
    pub id: Option<TcpId>,
    pub listener: Option<ListenerId>,
    pub plan: Plan,
    /// Bytes that the peer will write.
    pub expects: usize,
    /// Numbers of the streams written and read.
    pub streams: [u64; 2],
    pub written: usize,
    pub read: usize,
    pub shut: bool,
    pub eof: bool,
    pub closed: bool,
    paused_until: Instant,
    rng: Rng,
}

impl App {
    pub fn new(host: HostId, plan: Plan, expects: usize, streams: [u64; 2], rng: &mut Rng) -> Self {
        App {
            host,
            id: None,
            listener: None,
            plan,
            expects,
            streams,
            written: 0,
            read: 0,
            shut: false,
            eof: false,
            closed: false,
            paused_until: Instant::ZERO,
            rng: Rng::from_seed(rng.seed()),
        }
    }

    /// When it wants to act although nothing happens in the network.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        (!self.closed && self.paused_until > now).then_some(self.paused_until)
    }

    /// Does what can be done now.
    pub fn act(&mut self, network: &mut Network) {
        let now = network.now();
        if self.id.is_none()
            && let Some(listener) = self.listener
        {
            self.id = network.stack(self.host).tcp().accept(listener).ok().map(|(id, _)| id);
        }
        let Some(id) = self.id.filter(|_| !self.closed && now >= self.paused_until) else { return };
        self.write(network, id);
        self.read(network, id);
        self.finish(network, id);
        self.rests(now);
    }

    fn rests(&mut self, now: Instant) -> bool {
        let rests = self.rng.chance(self.plan.pauses);
        if rests {
            self.paused_until = now + Duration::from_micros(1 + self.rng.below(400_000));
        }
        rests
    }

    fn write(&mut self, network: &mut Network, id: TcpId) {
        let now = network.now();
        while self.written < self.plan.writes {
            let most = self.plan.chunk.min(self.plan.writes - self.written);
            let len = 1 + self.rng.below(most as u64) as usize;
            let bytes: Vec<u8> =
                (self.written..self.written + len).map(|at| pattern(self.streams[0], at)).collect();
            match network.stack(self.host).tcp().send(id, &[IoSlice::new(&bytes)], now) {
                Ok(taken) => self.written += taken,
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("writing at {} of {}: {error}", self.written, self.plan.writes),
            }
            if self.rests(now) {
                return;
            }
        }
    }

    fn read(&mut self, network: &mut Network, id: TcpId) {
        let now = network.now();
        while !self.eof {
            let mut buffer = vec![0; 1 + self.rng.below(self.plan.chunk as u64) as usize];
            match network.stack(self.host).tcp().recv(id, &mut buffer, now) {
                Ok(0) => {
                    self.eof = true;
                    assert_eq!(self.read, self.expects, "the stream ends early");
                }
                Ok(len) => {
                    // What was read is a prefix of what was written, at every moment.
                    for (i, &byte) in buffer[..len].iter().enumerate() {
                        assert_eq!(byte, pattern(self.streams[1], self.read + i), "byte {}", self.read + i);
                    }
                    self.read += len;
                    assert!(self.read <= self.expects, "more bytes than were written");
                }
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("reading at {} of {}: {error}", self.read, self.expects),
            }
            if self.rests(now) {
                return;
            }
        }
    }

    fn finish(&mut self, network: &mut Network, id: TcpId) {
        let now = network.now();
        if self.written == self.plan.writes && (!self.plan.waits_for_eof || self.eof) && !self.shut {
            let tcp = network.stack(self.host).tcp();
            // Before the peer has answered a shutdown would give the open up.
            let answered = tcp.info(id).is_ok_and(|info| info.state != State::SynSent);
            self.shut = answered && tcp.shutdown(id, Shutdown::Write, now).is_ok();
        }
        if self.shut && (self.eof || (self.plan.drops && self.expects == 0)) {
            network.stack(self.host).tcp_close(id, now);
            self.closed = true;
        }
    }
}

/// Lets applications and network take turns until both applications are done, or panics after `limit` of virtual time.
pub fn converse(network: &mut Network, apps: &mut [App], limit: Duration) {
    let until = network.now() + limit;
    loop {
        apps.iter_mut().for_each(|app| app.act(network));
        if apps.iter().all(|app| app.closed) {
            return;
        }
        let now = network.now();
        let wakes = apps.iter().filter_map(|app| app.wakes_at(now)).min();
        let next = network.next_event();
        let next = next.into_iter().chain(wakes).min();
        let Some(next) = next.filter(|&next| next <= until) else {
            let states: Vec<_> =
                apps.iter().map(|app| (app.written, app.read, app.shut, app.eof, app.closed)).collect();
            let hosts: Vec<_> = apps.iter().map(|app| network.node(app.host).connections()).collect();
            panic!("stalled at {now:?}, next {next:?}: {states:?} {hosts:#?}");
        };
        if wakes == Some(next) {
            network.run_until(next);
        } else {
            network.step();
        }
    }
}

/// Waits until TIME-WAIT is over, then checks that neither host holds anything: no connection, no timer, no packet.
pub fn expect_nothing_left(network: &mut Network, hosts: &[HostId], limit: Duration) {
    network.run_while(limit, |_| true);
    for &host in hosts {
        let left: Vec<_> = network.stack(host).tcp().connections().collect();
        assert!(left.is_empty(), "{left:#?}");
        assert_eq!(network.stack(host).poll_timeout(), None);
    }
    assert_eq!(network.next_event(), None);
}

/// Two hosts of these settings on one link, a connection under way from the first to the second, an application at each end.
pub struct Pair {
    pub network: Network,
    pub hosts: [HostId; 2],
    pub addrs: [IpAddr; 2],
}

impl Pair {
    pub fn new(
        seed: u64,
        v6: bool,
        tcp: [TcpConfig; 2],
        capabilities: [Capabilities; 2],
        link: LinkConfig,
    ) -> Self {
        let mut network = Network::new(seed);
        let addrs = addrs(v6);
        let [a, b] = tcp;
        let hosts = [
            host(&mut network, addrs[0], a, capabilities[0]),
            host(&mut network, addrs[1], b, capabilities[1]),
        ];
        network.connect(hosts[0], hosts[1], link);
        Pair { network, hosts, addrs }
    }

    /// Where the server listens.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(self.addrs[1], PORT)
    }

    /// Lets the second host listen and the first connect; the applications follow their plans.
    pub fn open(&mut self, plans: [Plan; 2], rng: &mut Rng) -> [App; 2] {
        let [a, b] = plans;
        let expects = [b.writes, a.writes];
        let mut apps = [
            App::new(self.hosts[0], a, expects[0], [0, 1], rng),
            App::new(self.hosts[1], b, expects[1], [1, 0], rng),
        ];
        let (server, now) = (self.server(), self.network.now());
        apps[1].listener = Some(self.network.stack(self.hosts[1]).tcp_listen(server, 16).unwrap());
        apps[0].id = Some(self.network.stack(self.hosts[0]).tcp_connect(None, server, now).unwrap());
        apps
    }
}
