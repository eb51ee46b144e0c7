# Starting, awaiting and stopping the two daemons and the registry.

# overlayfs can't lie on some file systems (another overlay, for one): try rather than guess.
storage_driver() {
    if [ -n "${MBUILD_ENV_STORAGE:-}" ]; then
        echo "$MBUILD_ENV_STORAGE"
        return
    fi
    try=$STATE/try-overlay
    mkdir -p "$try/lower" "$try/upper" "$try/work" "$try/merged"
    if unshare --mount sh -c 'cd "$1" && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged &&
        : >merged/file' sh "$try" 2>/dev/null; then
        echo overlayfs
    else
        say "overlayfs doesn't work in $STATE: using the native snapshotter, which is slower"
        echo native
    fi
    rm -rf "$try"
}

# The daemons may use any registry on the bridge, so that tests can put doubles there; ports below 5010 can be pulled
# from too, where BuildKit looks for the exact address.
insecure_registries() {
    printf '"%s.0/24", "%s"' "$SUBNET" "$REGISTRY"
}

daemon_config() {
    cat <<EOF_
{
  "data-root": "$STATE/$1/data",
  "hosts": ["unix://$STATE/$1.sock"],
  "features": {"containerd-snapshotter": true},
  "storage-driver": "$2",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "cgroup-parent": "/$NAME-$1",
  "insecure-registries": [$(insecure_registries)],
  "iptables": false,
  "ip6tables": false,
  "userland-proxy": false
}
EOF_
}

# Each daemon gets namespaces of its own. tini is the init of the pid namespace and ends with dockerd, so a killed
# dockerd leaves no containerd, no build step and no mount behind.
start_node() {
    ! alive "$1" || return 0
    say "starting $1"
    mkdir -p "$STATE/$1"
    daemon_config "$1" "$2" >"$STATE/$1/daemon.json"
    rm -f "$STATE/$1.sock" "$STATE/$1.pid"
    PATH=$ROOT/root/usr/sbin:$ROOT/root/usr/bin:$PATH \
        setsid nsenter --net="/run/netns/$(namespace "$1")" \
        unshare --mount --ipc --pid --fork --kill-child \
        tini-static -g -- sh "$ENV_DIR/lib/in-namespace" "$ENV_DIR" "$1" \
        >"$STATE/$1.log" 2>&1 </dev/null 9>&- &
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
    await "$WAIT" answers "$1" && alive "$1" && return
    say "$1 doesn't answer; the end of $STATE/$1.log:"
    tail -n 20 "$STATE/$1.log" >&2
    exit 1
}

# Steps of a killed daemon leave empty cgroups.
remove_cgroups() {
    find /sys/fs/cgroup -depth -type d -path "*/$NAME-$1*" -exec rmdir {} + 2>/dev/null || true
}

stop_node() {
    stop "$1"
    remove_cgroups "$1"
}
