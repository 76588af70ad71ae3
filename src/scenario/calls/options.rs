//! `getsockopt` and `setsockopt`: the options of Linux by name or number, over [`SocketOptions`]. A socket that is not open yet
//! keeps its options for `listen` and `connect`.

use super::args;
use super::names;
use super::{Outcome, Socket};
use crate::base::socket::SocketError;
use crate::base::time::Duration;
use crate::scenario::run::Runner;
use crate::scenario::script::{Call, Value};
use crate::scenario::verdict::Stop;
use crate::tcp::TcpId;
use crate::tcp::congestion::CongestionControl;
use crate::tcp::options::SocketOptions;

const SOL_IP: i64 = 0;
const SOL_SOCKET: i64 = 1;
const SOL_TCP: i64 = 6;
const SOL_IPV6: i64 = 41;

/// Level, number and name of the options there are.
const OPTIONS: [(i64, i64, &str); 23] = [
    (SOL_SOCKET, 2, "SO_REUSEADDR"),
    (SOL_SOCKET, 4, "SO_ERROR"),
    (SOL_SOCKET, 7, "SO_SNDBUF"),
    (SOL_SOCKET, 8, "SO_RCVBUF"),
    (SOL_SOCKET, 9, "SO_KEEPALIVE"),
    (SOL_SOCKET, 13, "SO_LINGER"),
    (SOL_TCP, 1, "TCP_NODELAY"),
    (SOL_TCP, 2, "TCP_MAXSEG"),
    (SOL_TCP, 3, "TCP_CORK"),
    (SOL_TCP, 4, "TCP_KEEPIDLE"),
    (SOL_TCP, 5, "TCP_KEEPINTVL"),
    (SOL_TCP, 6, "TCP_KEEPCNT"),
    (SOL_TCP, 7, "TCP_SYNCNT"),
    (SOL_TCP, 8, "TCP_LINGER2"),
    (SOL_TCP, 9, "TCP_DEFER_ACCEPT"),
    (SOL_TCP, 12, "TCP_QUICKACK"),
    (SOL_TCP, 13, "TCP_CONGESTION"),
    (SOL_TCP, 18, "TCP_USER_TIMEOUT"),
    (SOL_IP, 1, "IP_TOS"),
    (SOL_IP, 2, "IP_TTL"),
    (SOL_IP, 10, "IP_MTU_DISCOVER"),
    (SOL_IPV6, 67, "IPV6_TCLASS"),
    (SOL_IPV6, 16, "IPV6_UNICAST_HOPS"),
];

/// Linux's largest value of the keep-alive times, in seconds.
const MAX_KEEP_ALIVE_SECS: i64 = 32_767;
/// Linux's largest number of keep-alive probes and of SYN retries.
const MAX_COUNT: i64 = 127;
/// The MSS assumed of a socket that has not agreed on one (RFC 9293 §3.7.1).
const DEFAULT_MSS: i64 = 536;

/// Linux's buffer for the name of a congestion control.
const MAX_CONGESTION_NAME: i64 = 16;

const INVALID: Outcome = Outcome::Error("EINVAL");

impl Runner<'_> {
    /// `getsockopt(fd, level, name, [value], [len])`
    pub(super) fn getsockopt(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 5)?;
        let len = args::number(args::single(args::argument(call, 4)?)?)?;
        let (fd, name) = (args::int(call, 0)?, option_name(call)?);
        let Some(descriptor) = self.descriptors.get(&fd) else { return Ok(Outcome::Error("EBADF")) };
        if len < 0 {
            return Ok(INVALID);
        }
        check_length_got(name, len)?;
        if matches!(descriptor.socket, Socket::Datagram | Socket::Udp(_)) {
            return self.get_udp_option(fd, name, call);
        }
        let options = match self.options_of(fd) {
            Ok(options) => options,
            Err(error) => return Ok(error.into()),
        };
        let value = args::argument(call, 3)?;
        match name {
            "TCP_CONGESTION" if len < options.congestion.name().len() as i64 => {
                return Err(Stop::skip("a name that is cut is not supported"));
            }
            "TCP_CONGESTION" => compare(name, &text(value)?, &options.congestion.name().to_owned())?,
            "SO_LINGER" => {
                let expected: (i64, i64) = args::fields(value, ["onoff", "linger"])?.into();
                let seconds = options.linger.map_or(0, |linger| linger.as_secs() as i64);
                let actual = (i64::from(options.linger.is_some()), seconds);
                compare(name, &format!("{expected:?}"), &format!("{actual:?}"))?;
            }
            "SO_ERROR" => compare(name, &error_number(value)?, &self.take_error(fd))?,
            _ => {
                let actual = self.get_number(fd, name, &options);
                compare(name, &args::number(args::single(value)?)?, &actual)?;
            }
        }
        Ok(Outcome::Value(0))
    }

    /// `setsockopt(fd, level, name, [value], len)`
    pub(super) fn setsockopt(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 5)?;
        let len = args::int(call, 4)?;
        let (fd, name) = (args::int(call, 0)?, option_name(call)?);
        let Some(descriptor) = self.descriptors.get_mut(&fd) else { return Ok(Outcome::Error("EBADF")) };
        let value = args::argument(call, 3)?;
        if !length_is_enough(name, value, len)? {
            return Ok(INVALID);
        }
        if matches!(name, "SO_REUSEADDR" | "IP_MTU_DISCOVER") {
            descriptor.stored.insert(name, args::number(args::single(value)?)?);
        }
        if matches!(descriptor.socket, Socket::Datagram | Socket::Udp(_)) {
            return if name == "SO_REUSEADDR" { Ok(Outcome::Value(0)) } else { Err(no_udp_option(name)) };
        }
        let mut options = match self.options_of(fd) {
            Ok(options) => options,
            Err(error) => return Ok(error.into()),
        };
        let done = match name {
            "SO_LINGER" => {
                let [on, seconds] = args::fields(value, ["onoff", "linger"])?;
                let seconds = u64::try_from(seconds).unwrap_or(u64::from(u32::MAX));
                options.linger = (on != 0).then(|| Duration::from_secs(seconds));
                true
            }
            "TCP_CONGESTION" => match CongestionControl::from_name(&text(value)?) {
                Some(algorithm) => {
                    options.congestion = algorithm;
                    true
                }
                None => return Ok(Outcome::Error("ENOENT")),
            },
            "SO_ERROR" => return Ok(Outcome::Error("ENOPROTOOPT")),
            _ => set_number(name, args::number(args::single(value)?)?, &mut options, self.default_options()),
        };
        Ok(if done { self.store(fd, options) } else { INVALID })
    }

    fn default_options(&mut self) -> SocketOptions {
        self.host.stack().tcp().default_options().clone()
    }

    /// The options of a TCP socket, open or not.
    pub(in crate::scenario) fn options_of(&mut self, fd: i64) -> Result<SocketOptions, SocketError> {
        let descriptor = self.descriptors.get(&fd).ok_or(SocketError::NoSocket)?;
        match descriptor.socket {
            Socket::Connection(id) => self.host.stack().tcp().options(id),
            Socket::Listener(id) => self.host.stack().tcp().options(id),
            _ => {
                let held = descriptor.options.clone();
                Ok(held.unwrap_or_else(|| self.default_options()))
            }
        }
    }

    fn store(&mut self, fd: i64, options: SocketOptions) -> Outcome {
        let now = self.host.now();
        let Some(descriptor) = self.descriptors.get_mut(&fd) else { return Outcome::Error("EBADF") };
        let stored = match descriptor.socket {
            Socket::Connection(id) => self.host.stack().tcp().set_options(id, options, now),
            Socket::Listener(id) => self.host.stack().tcp().set_options(id, options, now),
            _ => options.checked().map(|options| descriptor.options = Some(options)),
        };
        stored.map_or_else(Outcome::from, |()| Outcome::Value(0))
    }

    fn get_number(&mut self, fd: i64, name: &'static str, options: &SocketOptions) -> i64 {
        let descriptor = self.descriptors.get(&fd);
        let stored = descriptor.and_then(|descriptor| descriptor.stored.get(name)).copied();
        let connection = descriptor.and_then(|descriptor| match descriptor.socket {
            Socket::Connection(id) => Some(id),
            _ => None,
        });
        let seconds = |duration: Duration| duration.as_secs() as i64;
        let (config, tcp) = (&self.config, self.host.stack().tcp());
        match name {
            "SO_REUSEADDR" => stored.unwrap_or(0),
            "SO_SNDBUF" => {
                options.send_buffer.unwrap_or(config.send_buffer_initial.min(config.send_buffer)) as i64
            }
            "SO_RCVBUF" => {
                options.receive_buffer.unwrap_or(config.receive_buffer_initial.min(config.receive_buffer))
                    as i64
            }
            "SO_KEEPALIVE" => options.keep_alive.into(),
            "TCP_NODELAY" => options.nodelay.into(),
            "TCP_MAXSEG" => {
                let agreed = |id: TcpId| tcp.info(id).map(|info| i64::from(info.send_mss));
                let asked = i64::from(options.max_mss.unwrap_or(0));
                let asked = if asked == 0 { DEFAULT_MSS } else { asked };
                connection.map_or(asked, |id| agreed(id).unwrap_or(asked))
            }
            "TCP_CORK" => options.cork.into(),
            "TCP_KEEPIDLE" => seconds(options.keep_idle),
            "TCP_KEEPINTVL" => seconds(options.keep_interval),
            "TCP_KEEPCNT" => options.keep_probes.into(),
            "TCP_SYNCNT" => options.syn_retries.into(),
            "TCP_LINGER2" => seconds(options.fin_wait_2_timeout),
            "TCP_DEFER_ACCEPT" => options.defer_accept.map_or(0, seconds),
            "TCP_QUICKACK" => options.quick_ack.into(),
            "TCP_USER_TIMEOUT" => options.user_timeout.map_or(0, |timeout| timeout.as_millis() as i64),
            "IP_TOS" | "IPV6_TCLASS" => options.traffic_class.into(),
            "IP_TTL" | "IPV6_UNICAST_HOPS" => options.hop_limit.into(),
            _ => stored.unwrap_or_else(|| options.path_mtu_discovery.into()),
        }
    }

    fn take_error(&mut self, fd: i64) -> i64 {
        let error = match self.descriptors.get(&fd).map(|descriptor| &descriptor.socket) {
            Some(&Socket::Connection(id)) => self.host.stack().tcp().take_error(id),
            Some(&Socket::Udp(id)) => self.host.stack().udp().take_error(id),
            _ => None,
        };
        error.and_then(|error| names::errno(error.name())).unwrap_or(0)
    }

    fn get_udp_option(&mut self, fd: i64, name: &'static str, call: &Call) -> Result<Outcome, Stop> {
        let value = args::argument(call, 3)?;
        match name {
            "SO_ERROR" => compare(name, &error_number(value)?, &self.take_error(fd))?,
            "SO_REUSEADDR" => {
                let stored = self.descriptors.get(&fd).and_then(|d| d.stored.get(name)).copied();
                compare(name, &args::number(args::single(value)?)?, &stored.unwrap_or(0))?;
            }
            _ => return Err(no_udp_option(name)),
        }
        Ok(Outcome::Value(0))
    }
}

/// The bytes of an option's value: an int, or the two of a `linger`.
fn value_len(name: &str) -> i64 {
    if name == "SO_LINGER" { 8 } else { 4 }
}

/// `getsockopt` gives back the value's own length where there is room for it; what is cut is not supported.
fn check_length_got(name: &str, len: i64) -> Result<(), Stop> {
    let most = if name == "TCP_CONGESTION" { MAX_CONGESTION_NAME } else { value_len(name) };
    if len > most {
        return Err(Stop::fail(format!("getsockopt gave length {most} for {name}, not {len}")));
    }
    if name != "TCP_CONGESTION" && len < most {
        return Err(Stop::skip(format!("{name} cut to {len} bytes is not supported")));
    }
    Ok(())
}

/// False where `setsockopt` is given fewer bytes than Linux takes; lengths that it takes in another way are not supported.
fn length_is_enough(name: &str, value: &Value, len: i64) -> Result<bool, Stop> {
    let odd = || Stop::skip(format!("{name} with a length of {len} is not supported"));
    if name == "TCP_CONGESTION" {
        let own = text(value)?.len() as i64;
        return if len < 1 || (own..=own + 1).contains(&len) { Ok(len >= 1) } else { Err(odd()) };
    }
    let own = value_len(name);
    // The options of IPv4 may be one byte long.
    if len > own || (name.starts_with("IP_") && (0..own).contains(&len)) {
        return Err(odd());
    }
    Ok(len == own)
}

fn no_udp_option(name: &str) -> Stop {
    Stop::skip(format!("{name} is not supported on UDP sockets"))
}

/// The option that level and name mean, each a name or a number.
fn option_name(call: &Call) -> Result<&'static str, Stop> {
    let level = args::int(call, 1)?;
    let wanted = args::argument(call, 2)?;
    let found = OPTIONS.iter().find(|(known, number, name)| {
        *known == level
            && match wanted {
                Value::Name(wanted) => wanted == name,
                Value::Int(wanted) => wanted == number,
                _ => false,
            }
    });
    found.map(|&(_, _, name)| name).ok_or_else(|| match wanted {
        Value::Name(wanted) => Stop::skip(format!("the option {wanted} at level {level} is not supported")),
        _ => Stop::skip(format!("this option at level {level} is not supported")),
    })
}

fn set_number(name: &str, value: i64, options: &mut SocketOptions, defaults: SocketOptions) -> bool {
    let on = value != 0;
    let within = |most: i64| (1..=most).contains(&value);
    let seconds = Duration::from_secs(value.max(0) as u64);
    let valid = match name {
        "TCP_KEEPIDLE" | "TCP_KEEPINTVL" => within(MAX_KEEP_ALIVE_SECS),
        "TCP_KEEPCNT" | "TCP_SYNCNT" => within(MAX_COUNT),
        "IP_TOS" => (0..=255).contains(&value),
        "IPV6_TCLASS" => (-1..=255).contains(&value),
        "IP_TTL" | "IPV6_UNICAST_HOPS" => value == -1 || within(255),
        "IP_MTU_DISCOVER" => (0..=2).contains(&value),
        "TCP_MAXSEG" => (0..=i64::from(u16::MAX)).contains(&value),
        "TCP_USER_TIMEOUT" => value >= 0,
        _ => true,
    };
    if !valid {
        return false;
    }
    match name {
        // Linux doubles what is asked for, to pay for its overhead, and gives the doubled value back.
        "SO_SNDBUF" => options.send_buffer = Some(doubled(value)),
        "SO_RCVBUF" => options.receive_buffer = Some(doubled(value)),
        "SO_KEEPALIVE" => options.keep_alive = on,
        "TCP_NODELAY" => options.nodelay = on,
        "TCP_MAXSEG" => options.max_mss = (value > 0).then_some(value as u16),
        "TCP_CORK" => options.cork = on,
        "TCP_KEEPIDLE" => options.keep_idle = seconds,
        "TCP_KEEPINTVL" => options.keep_interval = seconds,
        "TCP_KEEPCNT" => options.keep_probes = value as u8,
        "TCP_SYNCNT" => options.syn_retries = value as u8,
        "TCP_LINGER2" if value == 0 => options.fin_wait_2_timeout = defaults.fin_wait_2_timeout,
        "TCP_LINGER2" => options.fin_wait_2_timeout = seconds,
        "TCP_DEFER_ACCEPT" => options.defer_accept = (value > 0).then_some(seconds),
        "TCP_QUICKACK" => options.quick_ack = on,
        "TCP_USER_TIMEOUT" => options.user_timeout = on.then(|| Duration::from_millis(value as u64)),
        "IP_TOS" | "IPV6_TCLASS" => {
            options.traffic_class = if value < 0 { defaults.traffic_class } else { value as u8 };
        }
        "IP_TTL" | "IPV6_UNICAST_HOPS" => {
            options.hop_limit = if value < 0 { defaults.hop_limit } else { value as u8 };
        }
        "IP_MTU_DISCOVER" => options.path_mtu_discovery = on,
        _ => {}
    }
    true
}

fn doubled(value: i64) -> usize {
    usize::try_from(value.saturating_mul(2)).unwrap_or(0)
}

/// `"name"`, or `["name"]`.
fn text(value: &Value) -> Result<String, Stop> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::List(list) if list.len() == 1 => text(&list[0]),
        _ => Err(Stop::skip("a quoted name was expected")),
    }
}

/// `[number]` or `[NAME]` of an error.
fn error_number(value: &Value) -> Result<i64, Stop> {
    match args::single(value)? {
        Value::Name(name) => names::errno(name).ok_or_else(|| Stop::skip(format!("`{name}` is not known"))),
        other => args::number(other),
    }
}

fn compare<T: PartialEq + std::fmt::Display>(name: &str, expected: &T, actual: &T) -> Result<(), Stop> {
    if expected == actual {
        return Ok(());
    }
    Err(Stop::fail(format!("getsockopt gave {actual} for {name}, not {expected}")))
}
