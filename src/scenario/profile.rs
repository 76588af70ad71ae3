//! Named configurations of the stack: what a script finds before it sets anything.

use crate::tcp::config::{SynCookies, TcpConfig};

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

    /// What the profile should have and the stack does not have yet; the nearest stands in its place.
    pub const fn missing(self) -> &'static [&'static str] {
        match self {
            Profile::Linux => &[
                "CUBIC (NewReno stands in)",
                "D-SACK",
                "tail-loss probes and time-based loss detection",
                "F-RTO",
                "buffers that grow with use",
                "broken pipe instead of reset in CLOSE-WAIT",
            ],
            Profile::Default | Profile::Plain => &[],
        }
    }
}

fn linux() -> TcpConfig {
    TcpConfig {
        receive_buffer: 540_000,
        receive_buffer_limit: Some(15_728_640),
        initial_receive_window: Some(u16::MAX),
        send_buffer: 262_144,
        timestamps: true,
        sack: true,
        window_scaling: true,
        initial_window: 10,
        syn_retries: 5,
        syn_linear_retries: 4,
        syn_ack_retries: 5,
        syn_cookies: SynCookies::WhenFull,
        // Linux acts on a RST in TIME-WAIT unless tcp_rfc1337 is set.
        rfc1337: false,
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
