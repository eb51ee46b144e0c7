# Settings and small helpers, sourced by up, down and restart (which set ENV_DIR).

# What may be set from outside; README.md says what for.
NAME=${MBUILD_ENV_NAME:-mbuild}
SUBNET=${MBUILD_ENV_SUBNET:-10.213.77}
PORT=${MBUILD_ENV_REGISTRY_PORT:-5000}
SUITE=${MBUILD_ENV_SUITE:-sid}
WAIT=${MBUILD_ENV_WAIT:-60}
STATE=${MBUILD_ENV_STATE:-$ENV_DIR/.state}

# What is up keeps the settings it was started with, whoever calls down or restart.
[ ! -f "$STATE/settings" ] || . "$STATE/settings"

NODES="amd64 arm64"
CACHE=$ENV_DIR/.cache
ROOT=$CACHE/$SUITE

# What follows from the name and the subnet.
name_parts() {
    REGISTRY=$SUBNET.1:$PORT
    BRIDGE=${NAME}0
}
name_parts

say() { printf 'env: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# One up, down or restart at a time; daemons are started with 9>&- so that they don't keep the lock.
lock() {
    exec 9<"$ENV_DIR/lib/common.sh"
    flock 9
}

save_settings() {
    mkdir -p "$STATE"
    printf "NAME='%s' SUBNET='%s' PORT='%s' SUITE='%s'\n" "$NAME" "$SUBNET" "$PORT" "$SUITE" >"$STATE/settings"
}

# Runs quietly; shows the output only if the command fails.
quietly() {
    if ! quiet_out=$("$@" 2>&1 9>&-); then
        printf '%s\n' "$quiet_out" >&2
        die "failed: $*"
    fi
}

# A pid alone may have been given to another process since: the start time tells.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

record() { echo "$2 $(start_time "$2")" >"$STATE/$1.pid"; }

recorded_pid() { [ -f "$STATE/$1.pid" ] && cut -d' ' -f1 "$STATE/$1.pid"; }

# Is the process recorded under this name still that process?
alive() {
    [ -s "$STATE/$1.pid" ] || return 1
    read -r alive_pid alive_since <"$STATE/$1.pid"
    [ -n "$alive_since" ] && [ "$(start_time "$alive_pid")" = "$alive_since" ] &&
        grep -qF "$STATE/" "/proc/$alive_pid/cmdline" 2>/dev/null
}

# KILL is enough: what a daemon was doing is thrown away anyway, and its namespaces die with it.
stop() {
    if alive "$1"; then
        stop_pid=$(recorded_pid "$1")
        kill -KILL "$stop_pid"
        await 10 gone "$1" || die "$1 (pid $stop_pid) doesn't end"
    fi
    rm -f "$STATE/$1.pid"
}

gone() { ! alive "$1"; }

# await SECONDS COMMAND...: polls until the command succeeds.
await() {
    await_left=$(($1 * 10))
    shift
    until "$@"; do
        await_left=$((await_left - 1))
        [ "$await_left" -gt 0 ] || return 1
        sleep 0.1
    done
}
