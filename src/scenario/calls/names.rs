//! The symbolic constants a script may use, with the numbers they have on Linux.

/// What `name` stands for, if it is a number.
pub(super) fn constant(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(known, _)| *known == name).map(|&(_, value)| value)
}

/// The bits of `poll`, by name.
pub(super) fn poll_names() -> impl Iterator<Item = (&'static str, i64)> {
    CONSTANTS.into_iter().filter(|(name, _)| name.starts_with("POLL"))
}

/// The number of an error, for `SO_ERROR`.
pub(super) fn errno(name: &str) -> Option<i64> {
    ERRORS.iter().find(|(known, _)| *known == name).map(|&(_, value)| value)
}

pub(super) const AF_INET: i64 = 2;
pub(super) const AF_INET6: i64 = 10;
pub(super) const SOCK_STREAM: i64 = 1;
pub(super) const SOCK_DGRAM: i64 = 2;
pub(super) const O_NONBLOCK: i64 = 0o4000;
pub(super) const O_RDWR: i64 = 2;
pub(super) const MSG_OOB: i64 = 1;
pub(super) const MSG_PEEK: i64 = 2;
pub(super) const MSG_DONTWAIT: i64 = 0x40;
pub(super) const MSG_NOSIGNAL: i64 = 0x4000;
pub(super) const MSG_MORE: i64 = 0x8000;
pub(super) const F_GETFL: i64 = 3;
pub(super) const F_SETFL: i64 = 4;
pub(super) const POLLIN: i64 = 1;
pub(super) const POLLPRI: i64 = 2;
pub(super) const POLLOUT: i64 = 4;
pub(super) const POLLERR: i64 = 8;
pub(super) const POLLHUP: i64 = 0x10;
pub(super) const POLLNVAL: i64 = 0x20;
pub(super) const POLLRDNORM: i64 = 0x40;
pub(super) const POLLWRNORM: i64 = 0x100;
pub(super) const POLLRDHUP: i64 = 0x2000;

const CONSTANTS: [(&str, i64); 46] = [
    ("SOCK_STREAM", SOCK_STREAM),
    ("SOCK_DGRAM", SOCK_DGRAM),
    ("SOCK_NONBLOCK", O_NONBLOCK),
    ("AF_INET", AF_INET),
    ("AF_INET6", AF_INET6),
    ("PF_INET", AF_INET),
    ("PF_INET6", AF_INET6),
    ("IPPROTO_IP", 0),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41),
    ("SOL_IP", 0),
    ("SOL_SOCKET", 1),
    ("SOL_TCP", 6),
    ("SOL_IPV6", 41),
    ("O_RDWR", O_RDWR),
    ("O_NONBLOCK", O_NONBLOCK),
    ("F_GETFL", F_GETFL),
    ("F_SETFL", F_SETFL),
    ("MSG_OOB", MSG_OOB),
    ("MSG_PEEK", MSG_PEEK),
    ("MSG_DONTWAIT", MSG_DONTWAIT),
    ("MSG_NOSIGNAL", MSG_NOSIGNAL),
    ("MSG_MORE", MSG_MORE),
    ("SHUT_RD", 0),
    ("SHUT_WR", 1),
    ("SHUT_RDWR", 2),
    ("POLLIN", POLLIN),
    ("POLLPRI", POLLPRI),
    ("POLLOUT", POLLOUT),
    ("POLLERR", POLLERR),
    ("POLLHUP", POLLHUP),
    ("POLLNVAL", POLLNVAL),
    ("POLLRDNORM", POLLRDNORM),
    ("POLLWRNORM", POLLWRNORM),
    ("POLLRDHUP", POLLRDHUP),
    ("FIONREAD", 0x541b),
    ("SIOCINQ", 0x541b),
    ("SIOCATMARK", 0x8905),
    ("IP_PMTUDISC_DONT", 0),
    ("IP_PMTUDISC_WANT", 1),
    ("IP_PMTUDISC_DO", 2),
    ("IPV6_PMTUDISC_DONT", 0),
    ("IPV6_PMTUDISC_WANT", 1),
    ("IPV6_PMTUDISC_DO", 2),
    ("SOMAXCONN", 4096),
];

const ERRORS: [(&str, i64); 31] = [
    ("EPERM", 1),
    ("EINTR", 4),
    ("EBADF", 9),
    ("EAGAIN", 11),
    ("EWOULDBLOCK", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EINVAL", 22),
    ("EPIPE", 32),
    ("EPROTO", 71),
    ("ENOTSOCK", 88),
    ("EDESTADDRREQ", 89),
    ("EMSGSIZE", 90),
    ("ENOPROTOOPT", 92),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
];
