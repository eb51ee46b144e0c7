# Starting, awaiting and stopping the two daemons and the registry.

# overlayfs can't lie on some file systems (another overlay, for one): try rather than guess. Decided once, because a
# daemon doesn't find its data under the other.
storage_driver() {
    [ -f "$STATE/storage" ] || choose_storage >"$STATE/storage"
    cat "$STATE/storage"
}

choose_storage() {
    if [ -n "${MBUILD_ENV_STORAGE:-}" ]; then
        echo "$MBUILD_ENV_STORAGE"
    elif try_overlay 2>/dev/null; then
        echo overlayfs
    else
        say "overlayfs doesn't work in $STATE: using the native snapshotter, which is slower"
        echo native
    fi
}

try_overlay() {
    try=$STATE/try-overlay
    mkdir -p "$try/lower" "$try/upper" "$try/work" "$try/merged"
    unshare --mount sh -c 'cd "$1" &&
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && : >merged/file' sh "$try"
    tried=$?
    rm -rf "$try"
    return $tried
}

# Tests may put registries of their own anywhere on the subnet. Engine 20.10 pulls only from an exact address with http.
daemon_config() {
    case $(storage_driver) in
    overlayfs | native) containerd_store=true ;;
    *) containerd_store=false ;;
    esac
    cat <<EOF_
{
  "data-root": "$STATE/$1/data",
  "hosts": ["unix://$STATE/$1.sock"],
  "features": {"containerd-snapshotter": $containerd_store},
  "storage-driver": "$(storage_driver)",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "cgroup-parent": "/$NAME-$1",
  "insecure-registries": ["$SUBNET.0/24", "http://$REGISTRY"],
  "iptables": false,
  "ip6tables": false,
  "userland-proxy": false
}
EOF_
}

# Each daemon gets namespaces of its own, so a killed dockerd leaves no containerd, no build step and no mount behind.
# nsenter instead of `ip netns exec`, which would hide the cgroup mounts.
start_node() {
    ! alive "$1" || return 0
    say "starting $1"
    mkdir -p "$STATE/$1"
    daemon_config "$1" >"$STATE/$1/daemon.json"
    rm -f "$STATE/$1.sock" "$STATE/$1.pid"
    PATH=$ROOT/root/usr/sbin:$ROOT/root/usr/bin:$PATH \
        setsid nsenter --net="/run/netns/$(namespace "$1")" \
        unshare --mount --ipc --pid --fork --kill-child \
        sh "$ENV_DIR/lib/in-namespace" "$ENV_DIR" "$1" \
        >"$STATE/$1.log" 2>&1 </dev/null 9>&- &
    eval "starter_$1=$!"
}

start_registry() {
    ! alive registry || return 0
    say "starting the registry"
    mkdir -p "$STATE/registry"
    cat >"$STATE/registry.yml" <<EOF_
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: "$STATE/registry"}
  delete: {enabled: true}
http: {addr: "$REGISTRY"}
EOF_
    setsid "$(program docker-registry)" serve "$STATE/registry.yml" >"$STATE/registry.log" 2>&1 </dev/null 9>&- &
    record registry $!
}

answers() {
    case $1 in
    registry) curl -fsS -m 2 -o /dev/null --noproxy '*' "http://$REGISTRY/v2/" ;;
    *) curl -fsS -m 2 -o /dev/null --unix-socket "$STATE/$1.sock" http://localhost/_ping ;;
    esac 2>/dev/null
}

wait_for() {
    ! await "$WAIT" answers_or_ended "$1" || ! answers "$1" || ! alive "$1" || return 0
    say "$1 doesn't answer; the end of $STATE/$1.log:"
    tail -n 20 "$STATE/$1.log" >&2
    exit 1
}

# $starter is set for what this run started, and not yet recorded processes have only that.
answers_or_ended() {
    answers "$1" && return 0
    eval "starter=\${starter_$1:-}"
    ! alive "$1" && [ -z "$(tr -d '\0' 2>/dev/null <"/proc/${starter:-none}/cmdline")" ]
}

# Steps of a killed daemon leave empty cgroups.
remove_cgroups() {
    find /sys/fs/cgroup -depth -type d -path "*/$NAME-$1*" -exec rmdir {} + 2>/dev/null || true
}

stop_node() {
    stop "$1"
    remove_cgroups "$1"
}
