# What up changes on the machine: a bridge with one network namespace per node, and a binfmt entry for arm64.

namespace() { echo "$NAME-$1"; }

bridge_up() {
    [ ! -e "/sys/class/net/$BRIDGE" ] || return 0
    ip link add "$BRIDGE" type bridge
    # Says whose it is, to whoever meets it.
    ip link set "$BRIDGE" alias "$STATE"
    ip addr add "$SUBNET.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
}

# Takes the first name and subnet that nobody uses, unless they are given, or ours already.
choose_place() {
    if [ -n "${MBUILD_ENV_NAME:-}${MBUILD_ENV_SUBNET:-}" ] || alive registry || alive amd64 || alive arm64; then
        check_bridge
        return
    fi
    for number in '' 2 3 4 5 6 7 8 9; do
        [ -f "$STATE/settings" ] || NAME=mbuild$number SUBNET=10.213.$((76 + ${number:-1}))
        rm -f "$STATE/settings"
        name_parts
        taken=$(taken_by)
        [ -n "$taken" ] || return 0
        say "$taken"
    done
    die "set MBUILD_ENV_NAME and MBUILD_ENV_SUBNET to what is free"
}

# The name is free, or the bridge is ours; the subnet is on no other interface.
check_bridge() {
    taken=$(taken_by)
    [ -z "$taken" ] || die "$taken; run down there, or set MBUILD_ENV_NAME and MBUILD_ENV_SUBNET to what is free"
}

# Says who has the name or the subnet; nothing if they are ours to use.
taken_by() {
    owner=$(cat "/sys/class/net/$BRIDGE/ifalias" 2>/dev/null || echo "$STATE")
    if [ "$owner" != "$STATE" ] && ! abandoned; then
        echo "interface $BRIDGE belongs to ${owner:-something else}"
        return
    fi
    ip -o -4 addr show | awk -v own="$BRIDGE" -v ip="$SUBNET." '
        $2 != own && index($4, ip) == 1 { print "interface " $2 " has the subnet " ip "0/24"; exit }'
}

# Nobody runs behind the bridge any more: its environment's processes ended without down, as when a machine restarts.
abandoned() {
    for node in $NODES; do
        [ -z "$(ip netns pids "$(namespace "$node")" 2>/dev/null)" ] || return 1
    done
    address=$(ip -o -4 addr show dev "$BRIDGE" | awk '{ sub("/.*", "", $4); print $4; exit }')
    ! curl -fsS -m 2 -o /dev/null --noproxy '*' "http://$address:$PORT/v2/" 2>/dev/null
}

# What an environment left that ended without down is in the way of ours.
clear_abandoned() {
    owner=$(cat "/sys/class/net/$BRIDGE/ifalias" 2>/dev/null || echo "$STATE")
    [ "$owner" != "$STATE" ] || return 0
    say "taking over interface $BRIDGE, which $owner left behind"
    network_down
    for node in $NODES; do remove_cgroups "$node"; done
}

# node_network NODE LAST_BYTE
node_network() {
    ns=$(namespace "$1")
    [ ! -e "/run/netns/$ns" ] || return 0
    ip netns add "$ns"
    ip link add "$ns" type veth peer name eth0 netns "$ns"
    ip link set "$ns" master "$BRIDGE" up
    ip -n "$ns" link set lo up
    ip -n "$ns" addr add "$SUBNET.$2/24" dev eth0
    # No default route: what tries to reach the world fails at once instead of timing out.
    ip -n "$ns" link set eth0 up
}

network_up() {
    [ -d /run/netns ] || : >"$STATE/netns-added"
    bridge_up
    last=2
    for node in $NODES; do
        node_network "$node" $last
        last=$((last + 1))
    done
}

network_down() {
    for node in $NODES; do
        ns=$(namespace "$node")
        # A plain file is what another mount namespace leaves to see.
        [ ! -e "/run/netns/$ns" ] || ip netns del "$ns" 2>/dev/null || rm -f "/run/netns/$ns"
        # The kernel takes the pair down with the namespace, but a little later.
        ip link del "$ns" 2>/dev/null || true
    done
    ip link del "$BRIDGE" 2>/dev/null || true
    [ ! -f "$STATE/netns-added" ] || remove_netns_dir
}

# `ip netns add` made it, and mounted it on itself.
remove_netns_dir() {
    [ -z "$(ls /run/netns)" ] || return 0
    umount /run/netns 2>/dev/null || true
    rmdir /run/netns 2>/dev/null || true
}

# On cgroup v2 a container's own cgroup holds its processes, and then can't hand controllers to children. As in
# docker-in-docker, they move down a level.
cgroup_nesting() {
    top=/sys/fs/cgroup
    [ -f $top/cgroup.controllers ] && [ -f $top/cgroup.type ] && [ ! -d $top/init ] || return 0
    say "this is a container: moving its processes to the cgroup $top/init"
    mkdir $top/init
    xargs -rn1 <$top/cgroup.procs >$top/init/cgroup.procs 2>/dev/null || true
    sed -e 's/ / +/g' -e 's/^/+/' <$top/cgroup.controllers >$top/cgroup.subtree_control 2>/dev/null || true
}

BINFMT=/proc/sys/fs/binfmt_misc
AARCH64_MAGIC=7f454c460201010000000000000000000200b700

# An entry without F opens its interpreter by path, which containers don't have.
binfmt_present() {
    for entry in "$BINFMT"/*; do
        [ "${entry##*/}" != register ] && [ -f "$entry" ] || continue
        grep -q '^enabled' "$entry" && grep -q "^magic $AARCH64_MAGIC" "$entry" && grep -q '^flags:.*F' "$entry" &&
            return 0
    done
    return 1
}

binfmt_up() {
    if [ ! -e $BINFMT/register ]; then
        mount -t binfmt_misc binfmt_misc $BINFMT || die "can't mount binfmt_misc: arm64 steps can't run here"
        : >"$STATE/binfmt-mounted"
    fi
    ! binfmt_present || return 0
    echo "$NAME-aarch64" >"$STATE/binfmt-entry"
    # P keeps argv[0], by which busybox knows the applet.
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":$NAME-aarch64:M::$magic:$mask:$ROOT/qemu/usr/bin/qemu-aarch64-static:PF" >$BINFMT/register
}

binfmt_down() {
    if [ -f "$STATE/binfmt-entry" ]; then
        entry=$BINFMT/$(cat "$STATE/binfmt-entry")
        [ ! -f "$entry" ] || echo -1 >"$entry"
    fi
    [ ! -f "$STATE/binfmt-mounted" ] || umount $BINFMT || true
}
