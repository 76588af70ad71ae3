//! Options of the runner: `--name=value`, in a script's head and on the command line, which has the last word.
//!
//! `-` and `_` are equal in names. An option that the runner does not know makes a script SKIP; a value that it cannot be is an
//! error. Options of the command line that are not the runner's (`--junit`, say) are left to the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::preprocess::{self, Definitions};
use super::profile::Profile;
use super::script::ScriptOption;

/// How to run a script.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// `--ip_version`
    pub ip_version: IpVersion,
    mtu: Option<u16>,
    /// `--mss`: an inbound segment longer than this stands for several of this size that were coalesced on reception.
    pub mss: Option<u16>,
    local_ip: Option<IpAddr>,
    remote_ip: Option<IpAddr>,
    /// `--bind_port`: what `bind(…, ..., ...)` binds to.
    pub bind_port: u16,
    /// `--connect_port`: where `connect(…, ..., ...)` goes.
    pub connect_port: u16,
    /// `--tolerance_usecs`: how far a packet's time may be off, in microseconds.
    pub tolerance_usecs: u64,
    /// `--tolerance_percent`: the same in percent of the time since the previous event; the larger counts.
    pub tolerance_percent: f64,
    /// `--tcp_ts_tick_usecs`: microseconds in a timestamp's unit; zero does not compare timestamps.
    pub ts_tick_usecs: u64,
    /// `--tcp_ts_ecr_scaled`: an echoed timestamp never seen is counted on from the first.
    pub ts_ecr_scaled: bool,
    /// `--strict_segments`: a written segment is one sent segment.
    pub strict_segments: bool,
    /// `--verbose`: log every packet.
    pub verbose: bool,
    /// `--offload`: the device takes super-segments.
    pub offload: bool,
    /// `--syn_queue`: half-open connections of a listener, at most; a SYN more is answered by a cookie.
    pub syn_queue: Option<usize>,
    /// `--no-skip`: a skipped script counts as a failure.
    pub no_skip: bool,
    /// `--psh=strict`: compare PSH in every packet, not only with the last byte written.
    pub psh_strict: bool,
    /// `--ts_ecr=off` makes this false: echoed timestamps are not compared.
    pub ts_ecr: bool,
    /// `--leftover=fail`: packets that no event has taken are a failure.
    pub leftover_fails: bool,
    /// `--profile`: the stack's configuration to begin with.
    pub profile: Profile,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            ip_version: IpVersion::V4,
            mtu: None,
            mss: None,
            local_ip: None,
            remote_ip: None,
            bind_port: 8080,
            connect_port: 8080,
            tolerance_usecs: 4_000,
            tolerance_percent: 12.5,
            ts_tick_usecs: 0,
            ts_ecr_scaled: false,
            strict_segments: false,
            verbose: false,
            offload: false,
            syn_queue: None,
            no_skip: false,
            psh_strict: false,
            ts_ecr: true,
            leftover_fails: false,
            profile: Profile::Default,
        }
    }
}

/// Which IP carries the script's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// `ipv4`
    V4,
    /// `ipv6`
    V6,
}

/// An option that cannot be followed. Line 0 is the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The runner does not have what it asks for: SKIP.
    #[error("{reason}")]
    Unsupported {
        /// Where it stands.
        line: u32,
        /// What is missing.
        reason: String,
    },
    /// Its value is none that it can have.
    #[error("{reason}")]
    Wrong {
        /// Where it stands.
        line: u32,
        /// What is wrong.
        reason: String,
    },
}

/// Options that are a switch.
const SWITCHES: [&str; 5] = ["tcp_ts_ecr_scaled", "strict_segments", "verbose", "offload", "no_skip"];
/// Options with a value.
const VALUED: [&str; 18] = [
    "ip_version",
    "mtu",
    "mss",
    "local_ip",
    "remote_ip",
    "gateway_ip",
    "netmask_ip",
    "bind_port",
    "connect_port",
    "tolerance_usecs",
    "tolerance_percent",
    "tcp_ts_tick_usecs",
    "define",
    "psh",
    "ts_ecr",
    "leftover",
    "profile",
    "syn_queue",
];

impl RunOptions {
    /// The options of a script, overridden by those of the command line.
    ///
    /// # Errors
    /// On the first that is unknown or has a wrong value, and on addresses that are not of the script's IP version.
    pub fn new(script: &[ScriptOption], command_line: &[ScriptOption]) -> Result<Self, OptionError> {
        let mut options = RunOptions::default();
        for option in script.iter().chain(command_line) {
            options.set(option)?;
        }
        let v4 = options.ip_version == IpVersion::V4;
        let fits = |address: Option<IpAddr>| address.is_none_or(|address| address.is_ipv4() == v4);
        for (name, address) in [("local_ip", options.local_ip), ("remote_ip", options.remote_ip)] {
            if !fits(address) {
                let line = script.iter().rfind(|option| option.name == name).map_or(0, |option| option.line);
                let reason = format!("--{name} is not of --ip_version");
                return Err(OptionError::Unsupported { line, reason });
            }
        }
        Ok(options)
    }

    /// The stack's address.
    pub fn local_ip(&self) -> IpAddr {
        self.local_ip.unwrap_or(match self.ip_version {
            IpVersion::V4 => IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)),
            IpVersion::V6 => IpAddr::V6(Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1)),
        })
    }

    /// The address of the other side, which the script plays.
    pub fn remote_ip(&self) -> IpAddr {
        self.remote_ip.unwrap_or(match self.ip_version {
            IpVersion::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpVersion::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        })
    }

    /// The device's MTU. With IPv6 it is 20 bytes more unless given, so that the MSS is the same.
    pub fn mtu(&self) -> usize {
        self.mtu.map_or(if self.ip_version == IpVersion::V4 { 1500 } else { 1520 }, usize::from)
    }

    fn set(&mut self, option: &ScriptOption) -> Result<(), OptionError> {
        let name = option.name.as_str();
        if SWITCHES.contains(&name) {
            return match option.value {
                None => self.switch(name),
                Some(_) => Err(wrong(option, "takes no value")),
            };
        }
        if !VALUED.contains(&name) {
            let reason = format!("--{name} is no option of this runner");
            return Err(OptionError::Unsupported { line: option.line, reason });
        }
        let value = option.value.as_deref().ok_or_else(|| wrong(option, "needs a value"))?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        self.assign(option, value)
    }

    fn switch(&mut self, name: &str) -> Result<(), OptionError> {
        *match name {
            "tcp_ts_ecr_scaled" => &mut self.ts_ecr_scaled,
            "strict_segments" => &mut self.strict_segments,
            "offload" => &mut self.offload,
            "no_skip" => &mut self.no_skip,
            _ => &mut self.verbose,
        } = true;
        Ok(())
    }

    fn assign(&mut self, option: &ScriptOption, value: &str) -> Result<(), OptionError> {
        match option.name.as_str() {
            "ip_version" => self.ip_version = ip_version(option, value)?,
            "mtu" => self.mtu = Some(number(option, value, 68)?),
            "mss" => self.mss = Some(number(option, value, 1)?),
            "local_ip" => self.local_ip = Some(parsed(option, value, "an address")?),
            "remote_ip" => self.remote_ip = Some(parsed(option, value, "an address")?),
            "bind_port" => self.bind_port = number(option, value, 1)?,
            "connect_port" => self.connect_port = number(option, value, 1)?,
            "tolerance_usecs" => self.tolerance_usecs = number(option, value, 0)?,
            "tolerance_percent" => self.tolerance_percent = percent(option, value)?,
            "tcp_ts_tick_usecs" => self.ts_tick_usecs = number(option, value, 0)?,
            "psh" => self.psh_strict = either(option, value, ["last", "strict"])?,
            "ts_ecr" => self.ts_ecr = either(option, value, ["off", "on"])?,
            "syn_queue" => self.syn_queue = Some(number(option, value, 0)?),
            "leftover" => self.leftover_fails = either(option, value, ["ignore", "fail"])?,
            "profile" => {
                let known = "`default`, `linux` or `plain`";
                self.profile =
                    Profile::from_name(value).ok_or_else(|| wrong(option, &format!("is {known}")))?;
            }
            "define" => {
                preprocess::definition(value)
                    .map_err(|reason| wrong(option, &format!("is wrong: {reason}")))?;
            }
            // There is no gateway and no netmask to set: what is sent reaches the script whatever its address.
            _ => {}
        }
        Ok(())
    }
}

/// The definitions among the command line's options, which a script needs before it is parsed.
///
/// # Errors
/// On one that is not `NAME=VALUE`.
pub fn definitions(command_line: &[ScriptOption]) -> Result<Definitions, OptionError> {
    let defines = command_line.iter().filter(|option| option.name == "define");
    defines
        .map(|option| {
            let text = option.value.as_deref().unwrap_or("");
            preprocess::definition(text).map_err(|reason| wrong(option, &format!("is wrong: {reason}")))
        })
        .collect()
}

/// Takes the runner's options out of a command line: `--name=value`, `--name value`, `-D NAME=VALUE`. Returns them and what
/// else there is, in order.
///
/// # Errors
/// Where a value is missing.
pub fn take_arguments(
    arguments: impl IntoIterator<Item = String>,
) -> Result<(Vec<ScriptOption>, Vec<String>), OptionError> {
    let mut arguments = arguments.into_iter();
    let (mut options, mut others) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            others.push(argument);
            others.extend(arguments);
            break;
        }
        let (name, value) = match argument.strip_prefix("-D") {
            Some(rest) => ("define".to_owned(), Some(rest.to_owned()).filter(|rest| !rest.is_empty())),
            None => {
                let (name, value) = argument.split_once('=').unzip();
                let name = name.unwrap_or(&argument).strip_prefix("--").unwrap_or("").replace('-', "_");
                (name, value.map(str::to_owned))
            }
        };
        let mut option = ScriptOption { line: 0, name, value };
        if VALUED.contains(&option.name.as_str()) {
            option.value = option.value.or_else(|| arguments.next());
            if option.value.is_none() {
                return Err(wrong(&option, "needs a value"));
            }
        } else if !SWITCHES.contains(&option.name.as_str()) {
            others.push(argument);
            continue;
        }
        options.push(option);
    }
    Ok((options, others))
}

fn wrong(option: &ScriptOption, what: &str) -> OptionError {
    OptionError::Wrong { line: option.line, reason: format!("--{} {what}", option.name) }
}

fn ip_version(option: &ScriptOption, value: &str) -> Result<IpVersion, OptionError> {
    match value {
        "ipv4" => Ok(IpVersion::V4),
        "ipv6" => Ok(IpVersion::V6),
        "ipv4-mapped-ipv6" => {
            let reason = "IPv4 through IPv6 sockets is not supported".to_owned();
            Err(OptionError::Unsupported { line: option.line, reason })
        }
        _ => Err(wrong(option, "is `ipv4` or `ipv6`")),
    }
}

fn parsed<T: std::str::FromStr>(option: &ScriptOption, value: &str, what: &str) -> Result<T, OptionError> {
    value.parse().map_err(|_| wrong(option, &format!("is {what}, not `{value}`")))
}

fn number<T: TryFrom<u64>>(option: &ScriptOption, value: &str, least: u64) -> Result<T, OptionError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|&number| digits && number >= least);
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| wrong(option, &format!("is a number, not `{value}`")))
}

fn percent(option: &ScriptOption, value: &str) -> Result<f64, OptionError> {
    let percent: f64 = parsed(option, value, "a number")?;
    let sound = (0.0..=1e6).contains(&percent);
    if sound { Ok(percent) } else { Err(wrong(option, "is a percentage from 0 on")) }
}

/// False for the first word, true for the second.
fn either(option: &ScriptOption, value: &str, words: [&str; 2]) -> Result<bool, OptionError> {
    let place = words.iter().position(|word| *word == value);
    place
        .map(|place| place == 1)
        .ok_or_else(|| wrong(option, &format!("is `{}` or `{}`", words[0], words[1])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::script::Definition;

    fn option(line: u32, text: &str) -> ScriptOption {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        ScriptOption { line, name: name.to_owned(), value: value.map(str::to_owned) }
    }

    fn script(texts: &[&str]) -> Result<RunOptions, OptionError> {
        let options: Vec<ScriptOption> = (1..).zip(texts).map(|(line, text)| option(line, text)).collect();
        RunOptions::new(&options, &[])
    }

    fn is_wrong(texts: &[&str], line: u32, reason: &str) {
        assert_eq!(script(texts), Err(OptionError::Wrong { line, reason: reason.to_owned() }), "{texts:?}");
    }

    fn is_unsupported(texts: &[&str], line: u32, reason: &str) {
        assert_eq!(
            script(texts),
            Err(OptionError::Unsupported { line, reason: reason.to_owned() }),
            "{texts:?}"
        );
    }

    /// The same script runs over both: the MSS stays 1460.
    #[test]
    fn defaults_depend_on_the_ip_version() {
        let v4 = script(&[]).unwrap();
        assert_eq!((v4.local_ip().to_string(), v4.remote_ip().to_string()), {
            ("192.168.0.1".to_owned(), "192.0.2.1".to_owned())
        });
        let v6 = script(&["ip_version=ipv6"]).unwrap();
        assert_eq!((v6.local_ip().to_string(), v6.remote_ip().to_string()), {
            ("fd3d:fa7b:d17d::1".to_owned(), "2001:db8::1".to_owned())
        });
        assert_eq!((v4.mtu(), v6.mtu()), (1500, 1520));
        assert_eq!(script(&["ip_version=ipv6", "mtu=1400"]).unwrap().mtu(), 1400);
        assert_eq!((v4.bind_port, v4.connect_port), (8080, 8080));
        assert_eq!((v4.tolerance_usecs, v4.tolerance_percent), (4_000, 12.5));
    }

    #[test]
    fn every_option_has_its_effect() {
        let found = script(&[
            "mtu=9000",
            "mss=1000",
            "local_ip=\"10.0.0.1\"",
            "remote_ip=10.0.0.2",
            "gateway_ip=10.0.0.3",
            "netmask_ip=255.0.0.0",
            "bind_port=80",
            "connect_port=81",
            "tolerance_usecs=5",
            "tolerance_percent=.5",
            "tcp_ts_tick_usecs=1000",
            "tcp_ts_ecr_scaled",
            "strict_segments",
            "verbose",
            "offload",
            "no_skip",
            "psh=strict",
            "ts_ecr=off",
            "leftover=fail",
            "profile=plain",
            "syn_queue=0",
            "define=A=1",
        ]);
        let expected = RunOptions {
            ip_version: IpVersion::V4,
            mtu: Some(9000),
            mss: Some(1000),
            local_ip: Some(IpAddr::from([10, 0, 0, 1])),
            remote_ip: Some(IpAddr::from([10, 0, 0, 2])),
            bind_port: 80,
            connect_port: 81,
            tolerance_usecs: 5,
            tolerance_percent: 0.5,
            ts_tick_usecs: 1000,
            ts_ecr_scaled: true,
            strict_segments: true,
            verbose: true,
            offload: true,
            syn_queue: Some(0),
            no_skip: true,
            psh_strict: true,
            ts_ecr: false,
            leftover_fails: true,
            profile: Profile::Plain,
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let line = [option(0, "mtu=1300"), option(0, "ts_ecr=on")];
        let found = RunOptions::new(&[option(1, "mtu=1400"), option(2, "ts_ecr=off")], &line).unwrap();
        assert_eq!((found.mtu(), found.ts_ecr), (1300, true));
    }

    #[test]
    fn unknown_options_are_unsupported_and_wrong_values_are_errors() {
        is_unsupported(&["verbose", "speed=5"], 2, "--speed is no option of this runner");
        let mapped = "IPv4 through IPv6 sockets is not supported";
        is_unsupported(&["ip_version=ipv4-mapped-ipv6"], 1, mapped);
        is_unsupported(&["local_ip=fd00::1"], 1, "--local_ip is not of --ip_version");
        is_wrong(&["verbose", "mtu"], 2, "--mtu needs a value");
        is_wrong(&["verbose=1"], 1, "--verbose takes no value");
        is_wrong(&["mtu=67"], 1, "--mtu is a number, not `67`");
        is_wrong(&["mtu=65536"], 1, "--mtu is a number, not `65536`");
        is_wrong(&["tolerance_usecs=+5"], 1, "--tolerance_usecs is a number, not `+5`");
        is_wrong(&["tolerance_percent=inf"], 1, "--tolerance_percent is a percentage from 0 on");
        is_wrong(&["tolerance_percent=NaN"], 1, "--tolerance_percent is a percentage from 0 on");
        is_wrong(&["ip_version=ipv5"], 1, "--ip_version is `ipv4` or `ipv6`");
        is_wrong(&["local_ip=nowhere"], 1, "--local_ip is an address, not `nowhere`");
        is_wrong(&["psh=never"], 1, "--psh is `last` or `strict`");
        is_wrong(&["profile=bsd"], 1, "--profile is `default`, `linux` or `plain`");
        is_wrong(&["define=5-3"], 1, "--define is wrong: \"5-3\" is no name to define");
    }

    #[test]
    fn the_runners_arguments_are_taken_out_of_a_command_line() {
        let line = "--ip-version=ipv6 a.pkt --mtu 1400 -D A=1 -DB=x --junit out.xml --verbose -- --offload";
        let (options, others) = take_arguments(line.split(' ').map(str::to_owned)).unwrap();
        let names: Vec<String> = options.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["--ip_version=ipv6", "--mtu=1400", "--define=A=1", "--define=B=x", "--verbose"]);
        assert_eq!(others, ["a.pkt", "--junit", "out.xml", "--", "--offload"]);
        let found = definitions(&options).unwrap();
        assert_eq!(found.get("A"), Some(&Definition::Int(1)));
        assert_eq!(found.get("B"), Some(&Definition::Word("x".to_owned())));
        let missing = take_arguments(["--mtu".to_owned()]).unwrap_err();
        assert_eq!(missing.to_string(), "--mtu needs a value");
    }
}
