# What every script here uses: the package's root, messages, and cargo run as the user who owns the work.
#
# Sourced, never run. Under sudo, cargo runs as the invoking user, so that target/ does not become root's; sudo's
# secure_path does not hold ~/.cargo/bin, so it is added here.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$1 needs root for a TUN device: run 'sudo scripts/$(basename "$0")'"
}

need_tun() {
    [ -c /dev/net/tun ] || die "/dev/net/tun is missing: 'modprobe tun', or give the container --device /dev/net/tun"
}

# The user cargo runs as: the one who called sudo, when the checkout is theirs to write.
build_user() {
    local user=${SUDO_USER:-root}
    if [ "$(id -u)" -ne 0 ] || [ "$user" = root ] || ! runuser -u "$user" -- test -w "$ROOT"; then
        id -un
    else
        echo "$user"
    fi
}

# as_builder COMMAND...: in the package's root, as the build user, with a PATH that finds cargo.
as_builder() {
    local user home path=$PATH
    user=$(build_user)
    home=$(getent passwd "$user" | cut -d: -f6)
    # The caller's own toolchain serves too when root builds under sudo.
    [ -z "${SUDO_USER:-}" ] || path=$path:$(getent passwd "$SUDO_USER" | cut -d: -f6)/.cargo/bin
    path=$home/.cargo/bin:$path
    if [ "$user" = "$(id -un)" ]; then
        (cd "$ROOT" && PATH=$path exec "$@")
    else
        (cd "$ROOT" && exec runuser -u "$user" -- env HOME="$home" USER="$user" PATH="$path" "$@")
    fi
}

# seconds_since NANOSECONDS: the time since a `date +%s%N`, as seconds with one digit, for reports only.
seconds_since() {
    local tenths=$((($(date +%s%N) - $1) / 100000000))
    echo "$((tenths / 10)).$((tenths % 10))"
}
