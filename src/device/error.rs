//! What can be wrong with a TUN device, each with its remedy in one line.

use nix::errno::Errno;

/// Why a TUN device cannot be had or set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunError {
    /// The kernel's TUN driver is not there.
    #[error(
        "/dev/net/tun is missing: load it with `modprobe tun`, or give the container `--device /dev/net/tun`"
    )]
    NoDriver,
    /// The file mode of `/dev/net/tun`, or a container's rules for devices, keep this process out.
    #[error(
        "no permission to open /dev/net/tun: run as root, let every user open it with \
         `sudo chmod 666 /dev/net/tun`, or give the container `--device /dev/net/tun`"
    )]
    NoAccess,
    /// The process may not do this.
    #[error(
        "no permission to {0}: run as root, grant it with `sudo setcap cap_net_admin+ep PROGRAM`, \
         or start in `unshare -rn` (containers: `--cap-add NET_ADMIN`)"
    )]
    NoPermission(String),
    /// Another process holds the device.
    #[error("device {0} is in use by another process: stop that one, or choose another name")]
    Busy(String),
    /// Not a name that an interface can have.
    #[error("{0:?} cannot name a device: choose 1 to 15 letters or digits; %d stands for a free number")]
    InvalidName(String),
    /// The name belongs to something else.
    #[error("{0} exists already and is not a single-queue TUN device: choose another name")]
    NotTun(String),
    /// The name belongs to a device that can have no further queue.
    #[error(
        "{0} exists already with one queue: choose another name, or make it with `ip tuntap add {0} mode tun multi_queue`"
    )]
    OneQueue(String),
    /// The descriptor that was handed in is of no use.
    #[error("descriptor {fd} {reason}: hand in one of /dev/net/tun after TUNSETIFF with IFF_TUN | IFF_NO_PI")]
    Descriptor {
        /// Its number.
        fd: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The device was removed under us.
    #[error("device {0} is gone: somebody removed it; start again")]
    Gone(String),
    /// The interface is down.
    #[error("device {0} is down: bring it up with `ip link set {0} up`")]
    Down(String),
    /// The kernel has no IPv6 here.
    #[error(
        "IPv6 is off, so {0} gets no IPv6 address: switch it on with `sysctl net.ipv6.conf.default.disable_ipv6=0`"
    )]
    NoIpv6(String),
    /// Any other failure of a system call.
    #[error("cannot {action}: {errno}")]
    System {
        /// What was tried.
        action: String,
        /// What the kernel said.
        errno: Errno,
    },
}

impl TunError {
    /// The failure of `action` with `errno`.
    pub(super) fn system(action: impl Into<String>, errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => TunError::NoPermission(action.into()),
            errno => TunError::System { action: action.into(), errno },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_one_line() {
        let name = || "tide0".to_owned();
        let errors = [
            TunError::NoDriver,
            TunError::NoAccess,
            TunError::system("create tide0", Errno::EPERM),
            TunError::Busy(name()),
            TunError::InvalidName(name()),
            TunError::NotTun(name()),
            TunError::Descriptor { fd: 3, reason: "is no TUN device" },
            TunError::Gone(name()),
            TunError::Down(name()),
            TunError::NoIpv6(name()),
            TunError::system("set the MTU of tide0 to 9", Errno::EINVAL),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
    }
}
