//! What a command's setting does to the configuration of TCP. It holds for connections created afterwards.
//!
//! A setting that asks for what the stack does anyway is taken; one that asks for what it does not have is refused with the
//! reason, and the script is SKIP.

use super::commands::Setting;
use super::profile::Profile;
use crate::base::time::Duration;
use crate::tcp::config::{Ecn, TcpConfig};
use crate::tcp::congestion::{CongestionControl, HyStart};

/// Settings whose other values ask for what the stack does not have (yet): key, the value that it has, what the others need.
const ONE_CHOICE: [(&str, &str, &str); 2] = [
    ("tcp_notsent_lowat", "4294967295", "a limit on unsent data"),
    ("tcp_reordering", "3", "another duplicate-ACK threshold"),
];

/// What `tcp_mem` counts in, in bytes.
const PAGE: usize = 4_096;

/// Settings whose value makes no difference here, or to none of what a script can see.
const WITHOUT_EFFECT: [&str; 4] = ["tcp_fack", "tcp_min_tso_segs", "tcp_syncookies", "tcp_tso_win_divisor"];
/// The same for all that begin so.
const WITHOUT_EFFECT_FAMILIES: [&str; 2] = ["tcp_pacing_", "tcp_fastopen"];

/// Applies a setting to `config`.
///
/// # Errors
/// With the reason to skip, where the runner does not know the setting or the stack cannot follow it.
pub fn apply(setting: &Setting, config: &mut TcpConfig) -> Result<(), String> {
    match setting {
        Setting::NoOp => Ok(()),
        Setting::LoadDefaults => {
            // The listener's queue is the runner's option, which no profile sets.
            *config = TcpConfig { syn_queue: config.syn_queue, ..Profile::Linux.config() };
            Ok(())
        }
        Setting::Unknown(text) => Err(format!("the command `{text}` is not known")),
        Setting::Sysctl { key, value } if key == "hystart_detect" => {
            config.hystart = hystart(value).ok_or_else(|| format!("{key} cannot be `{value}`"))?;
            Ok(())
        }
        Setting::Sysctl { key, value } => {
            let name =
                key.strip_prefix("net.ipv4.").ok_or_else(|| format!("the setting {key} is not known"))?;
            let wrong = || format!("{key} cannot be `{value}`");
            set(name, value, config).unwrap_or_else(|| Err(wrong()))
        }
    }
}

/// `None` for a value that the setting cannot have.
fn set(name: &str, value: &str, config: &mut TcpConfig) -> Option<Result<(), String>> {
    if let Some((_, only, missing)) = ONE_CHOICE.iter().find(|(key, ..)| *key == name) {
        let taken = value == *only;
        return Some(if taken { Ok(()) } else { Err(format!("{name}={value}: {missing} is not supported")) });
    }
    match name {
        "tcp_timestamps" => config.timestamps = flag(value)?,
        "tcp_sack" => config.sack = flag(value)?,
        "tcp_dsack" => config.dsack = flag(value)?,
        "tcp_window_scaling" => config.window_scaling = flag(value)?,
        "tcp_rfc1337" => config.rfc1337 = flag(value)?,
        "tcp_slow_start_after_idle" => config.slow_start_after_idle = flag(value)?,
        "tcp_frto" => config.frto = number(value, 0..=2)? > 0,
        // 1 and 2 meant an early retransmit, which is gone.
        "tcp_early_retrans" => config.tail_loss_probe = number(value, 0..=4)? > 2,
        "tcp_recovery" => match number(value, 0..=7)? {
            bits @ (0 | 1) => config.rack = bits == 1,
            _ => return Some(Err(format!("{name}={value}: another reordering window is not supported"))),
        },
        "tcp_ecn" => config.ecn = ecn(value)?,
        "tcp_syn_retries" => config.syn_retries = value.parse().ok().filter(|n| (1..=127).contains(n))?,
        "tcp_synack_retries" => config.syn_ack_retries = value.parse().ok()?,
        "tcp_fin_timeout" => {
            config.fin_wait_2_timeout = Duration::from_secs(value.parse::<u32>().ok()?.into())
        }
        "tcp_rmem" => {
            let [smallest, initial, largest] = sizes(value)?;
            config.receive_buffer_smallest = smallest;
            config.receive_buffer_initial = initial;
            config.receive_buffer = largest.max(initial);
            // Half of it is window. Whole segments are announced, but no more than 16 bits tell: so all of those 16 bits where
            // the whole segments of the buffer reach beyond them.
            config.initial_receive_window = (initial / 2 >= 65_535 + 1_460).then_some(u16::MAX);
        }
        "tcp_wmem" => {
            let [smallest, initial, largest] = sizes(value)?;
            config.send_buffer_smallest = smallest;
            config.send_buffer_initial = initial;
            config.send_buffer = largest.max(initial);
        }
        "tcp_moderate_rcvbuf" => config.tune_receive_buffer = flag(value)?,
        "tcp_mem" => {
            let [_, pressure, limit] = sizes(value)?;
            if pressure != limit / 4 * 3 {
                let reason = "memory is scarce from three quarters of the limit on";
                return Some(Err(format!("tcp_mem={value}: {reason}")));
            }
            config.memory_limit = limit * PAGE;
        }
        "tcp_congestion_control" => match CongestionControl::from_name(value) {
            Some(algorithm) => config.congestion = algorithm,
            None => return Some(Err(format!("congestion control `{value}` is not supported"))),
        },
        _ if WITHOUT_EFFECT.contains(&name) => {}
        _ if WITHOUT_EFFECT_FAMILIES.iter().any(|family| name.starts_with(family)) => {}
        _ => return Some(Err(format!("the setting net.ipv4.{name} is not known"))),
    }
    Some(Ok(()))
}

/// Linux's bits: 1 for the train of acknowledgements, 2 for the delay; and our own word for what Linux has not.
fn hystart(value: &str) -> Option<HyStart> {
    match value {
        "0" => Some(HyStart::Off),
        "1" => Some(HyStart::AckTrain),
        "2" => Some(HyStart::Delay),
        "3" => Some(HyStart::Classic),
        "rfc9406" => Some(HyStart::PlusPlus),
        _ => None,
    }
}

fn number(value: &str, range: std::ops::RangeInclusive<u8>) -> Option<u8> {
    value.parse().ok().filter(|number| range.contains(number))
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// Linux's numbers: 3 to 5 are 1, 1 and 2 where AccECN is not agreed on.
fn ecn(value: &str) -> Option<Ecn> {
    match value {
        "0" => Some(Ecn::Off),
        "1" | "3" | "4" => Some(Ecn::Request),
        "2" | "5" => Some(Ecn::Accept),
        _ => None,
    }
}

/// Smallest, initial and largest size of a buffer, in bytes.
fn sizes(value: &str) -> Option<[usize; 3]> {
    let sizes: Option<Vec<usize>> = value.split_whitespace().map(|size| size.parse().ok()).collect();
    let sizes: [usize; 3] = sizes?.try_into().ok()?;
    sizes.iter().all(|&size| (1..=1 << 30).contains(&size)).then_some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::commands::settings;

    fn after(text: &str) -> Result<TcpConfig, String> {
        let mut config = TcpConfig::default();
        settings(text).iter().try_for_each(|setting| apply(setting, &mut config))?;
        Ok(config)
    }

    fn refused(assignment: &str, reason: &str) {
        assert_eq!(after(&format!("sysctl -w {assignment}")), Err(reason.to_owned()), "{assignment}");
    }

    #[test]
    fn settings_reach_the_configuration() {
        let found = after(
            "sysctl net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_dsack=0
             sysctl net.ipv4.tcp_rfc1337=0 net.ipv4.tcp_syn_retries=3 net.ipv4.tcp_synack_retries=2
             sysctl net.ipv4.tcp_fin_timeout=30 net.ipv4.tcp_rmem='5000 130000 6000000'
             sysctl net.ipv4.tcp_moderate_rcvbuf=0 net.ipv4.tcp_mem='200 300 400'
             sysctl net.ipv4.tcp_wmem='6000 16384 4000000' net.ipv4.tcp_congestion_control=reno
             sysctl net.ipv4.tcp_ecn=1 net.ipv4.tcp_recovery=0 net.ipv4.tcp_early_retrans=0 net.ipv4.tcp_frto=0
             sysctl net.ipv4.tcp_slow_start_after_idle=1",
        );
        let expected = TcpConfig {
            timestamps: false,
            sack: false,
            dsack: false,
            window_scaling: false,
            rfc1337: false,
            syn_retries: 3,
            syn_ack_retries: 2,
            fin_wait_2_timeout: Duration::from_secs(30),
            rack: false,
            tail_loss_probe: false,
            frto: false,
            slow_start_after_idle: true,
            receive_buffer_smallest: 5_000,
            receive_buffer_initial: 130_000,
            receive_buffer: 6_000_000,
            tune_receive_buffer: false,
            send_buffer_smallest: 6_000,
            send_buffer_initial: 16_384,
            send_buffer: 4_000_000,
            memory_limit: 400 << 12,
            ecn: Ecn::Request,
            congestion: CongestionControl::NewReno,
            ..TcpConfig::default()
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn defaults_are_those_of_linux() {
        assert_eq!(after("sysctl net.ipv4.tcp_sack=0; ../defaults.sh"), Ok(Profile::Linux.config()));
        // The figures that the linux profile is given with lead to themselves.
        let again = after(
            "defaults.sh; sysctl net.ipv4.tcp_rmem='4096 540000 15728640' net.ipv4.tcp_wmem='4096 262144 4194304'",
        );
        assert_eq!(again, Ok(Profile::Linux.config()));
    }

    /// Linux's numbers for what is on by default, and for the two old ways to say "off".
    #[test]
    fn numbers_of_linux_turn_things_on_and_off() {
        let of = |text: &str| after(&format!("sysctl {text}")).unwrap();
        assert!(["3", "4"].iter().all(|n| of(&format!("net.ipv4.tcp_early_retrans={n}")).tail_loss_probe));
        assert!(
            ["0", "1", "2"].iter().all(|n| !of(&format!("net.ipv4.tcp_early_retrans={n}")).tail_loss_probe)
        );
        assert!(["1", "2"].iter().all(|n| of(&format!("net.ipv4.tcp_frto={n}")).frto));
    }

    /// `--syn_queue` is no setting of a profile.
    #[test]
    fn defaults_leave_the_runners_options() {
        let mut config = TcpConfig { syn_queue: 3, sack: false, ..TcpConfig::default() };
        assert_eq!(apply(&Setting::LoadDefaults, &mut config), Ok(()));
        assert_eq!(config, TcpConfig { syn_queue: 3, ..Profile::Linux.config() });
    }

    #[test]
    fn what_is_so_anyway_is_taken() {
        for text in [
            "net.ipv4.tcp_ecn=2 net.ipv4.tcp_early_retrans=3 net.ipv4.tcp_frto=2",
            "net.ipv4.tcp_recovery=1 net.ipv4.tcp_reordering=3 net.ipv4.tcp_slow_start_after_idle=0",
            "net.ipv4.tcp_fack=1 net.ipv4.tcp_tso_win_divisor=3 net.ipv4.tcp_min_tso_segs=5",
            "net.ipv4.tcp_pacing_ss_ratio=200 net.ipv4.tcp_notsent_lowat=4294967295 net.ipv4.tcp_syncookies=2",
            "net.ipv4.tcp_fastopen=0x3 net.ipv4.tcp_fastopen_key=1-2-3-4",
        ] {
            assert_eq!(after(&format!("sysctl {text}")), Ok(TcpConfig::default()), "{text}");
        }
        assert_eq!(after("ip tcp_metrics flush"), Ok(TcpConfig::default()));
    }

    /// The parameter of Linux's module is a set of two bits.
    #[test]
    fn hystart_is_chosen_by_bits_or_by_its_rfc() {
        let bits =
            [("0", HyStart::Off), ("1", HyStart::AckTrain), ("2", HyStart::Delay), ("3", HyStart::Classic)];
        for (bits, expected) in bits.into_iter().chain([("rfc9406", HyStart::PlusPlus)]) {
            let found = after(&format!("echo {bits} > /sys/module/tcp_cubic/parameters/hystart_detect"));
            assert_eq!(found, Ok(TcpConfig { hystart: expected, ..TcpConfig::default() }));
        }
        let none = after("echo 4 > /sys/module/tcp_cubic/parameters/hystart_detect");
        assert_eq!(none, Err("hystart_detect cannot be `4`".to_owned()));
    }

    #[test]
    fn congestion_control_is_chosen_by_name() {
        for algorithm in CongestionControl::ALL {
            let found = after(&format!("sysctl net.ipv4.tcp_congestion_control={}", algorithm.name()));
            assert_eq!(found.map(|config| config.congestion), Ok(algorithm));
        }
    }

    #[test]
    fn what_the_stack_does_not_have_is_refused() {
        refused(
            "net.ipv4.tcp_reordering=5",
            "tcp_reordering=5: another duplicate-ACK threshold is not supported",
        );
        refused("net.ipv4.tcp_recovery=3", "tcp_recovery=3: another reordering window is not supported");
        refused(
            "net.ipv4.tcp_notsent_lowat=1000",
            "tcp_notsent_lowat=1000: a limit on unsent data is not supported",
        );
        refused(
            "net.ipv4.tcp_mem='100 200 400'",
            "tcp_mem=100 200 400: memory is scarce from three quarters of the limit on",
        );
        refused("net.ipv4.tcp_congestion_control=vegas", "congestion control `vegas` is not supported");
        refused("net.ipv4.tcp_nonsense=1", "the setting net.ipv4.tcp_nonsense is not known");
        refused("net.core.rmem_max=1", "the setting net.core.rmem_max is not known");
        refused("tcp_sack=1", "the setting tcp_sack is not known");
        for wrong in [
            "tcp_sack=2",
            "tcp_ecn=6",
            "tcp_frto=3",
            "tcp_early_retrans=5",
            "tcp_recovery=8",
            "tcp_slow_start_after_idle=2",
            "tcp_rmem=5",
            "tcp_rmem='1 2 x'",
            "tcp_wmem='0 0 0'",
            "tcp_syn_retries=0",
        ] {
            let (key, value) = wrong.split_once('=').unwrap();
            let value = value.trim_matches('\'');
            refused(&format!("net.ipv4.{wrong}"), &format!("net.ipv4.{key} cannot be `{value}`"));
        }
        assert_eq!(after("ls"), Err("the command `ls` is not known".to_owned()));
    }
}
