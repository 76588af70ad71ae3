//! Named configurations of the stack: what a script finds before it sets anything.

use crate::tcp::config::{Ecn, SynCookies, TcpConfig};
use crate::tcp::congestion::{CongestionControl, HyStart};

/// A named configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The stack's own defaults.
    Default,
    /// Linux's choice wherever the stack's own is another; what scripts written for Linux expect.
    Linux,
    /// No quick ACKs and no window scaling: what scripts read best in.
    Plain,
}

impl Profile {
    /// The profile of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Profile::Default, Profile::Linux, Profile::Plain].into_iter().find(|profile| profile.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Default => "default",
            Profile::Linux => "linux",
            Profile::Plain => "plain",
        }
    }

    /// Its settings.
    pub fn config(self) -> TcpConfig {
        match self {
            Profile::Default => TcpConfig::default(),
            Profile::Linux => linux(),
            Profile::Plain => plain(),
        }
    }
}

fn linux() -> TcpConfig {
    TcpConfig {
        receive_buffer: 15_728_640,
        receive_buffer_initial: 540_000,
        initial_receive_window: Some(u16::MAX),
        send_buffer_initial: 262_144,
        timestamps: true,
        sack: true,
        window_scaling: true,
        dsack: true,
        rack: true,
        tail_loss_probe: true,
        frto: true,
        // The two in which the harness that such scripts are written for departs from Linux's own defaults.
        slow_start_after_idle: false,
        ecn: Ecn::Off,
        initial_window: 10,
        syn_retries: 5,
        syn_linear_retries: 4,
        syn_ack_retries: 5,
        syn_cookies: SynCookies::WhenFull,
        // Linux acts on a RST in TIME-WAIT unless tcp_rfc1337 is set, and looks for black holes only if tcp_mtu_probing is.
        rfc1337: false,
        black_hole_detection: false,
        broken_pipe_in_close_wait: true,
        congestion: CongestionControl::Cubic,
        hystart: HyStart::Classic,
        ..TcpConfig::default()
    }
}

fn plain() -> TcpConfig {
    TcpConfig {
        quick_acks: 0,
        window_scaling: false,
        // Half of it is window.
        receive_buffer: 2 * 65_535,
        initial_receive_window: Some(u16::MAX),
        rfc1337: true,
        ..TcpConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;

    #[test]
    fn profiles_have_names() {
        for profile in [Profile::Default, Profile::Linux, Profile::Plain] {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name("Linux"), None);
        assert_eq!(Profile::Default.config(), TcpConfig::default());
    }

    /// A plain window is 65,535 bytes, never scaled, and acknowledgements wait for 40 ms from the first on.
    #[test]
    fn plain_is_plain() {
        let config = Profile::Plain.config();
        assert_eq!((config.quick_acks, config.delayed_ack), (0, Duration::from_millis(40)));
        assert_eq!((config.window_scaling, config.receive_buffer / 2), (false, 65_535));
        assert!(config.rfc1337);
    }
}
