# System packages, and Debian packages unpacked into $CACHE without installing them.

# Puts what the scripts themselves need onto the machine.
install_tools() {
    missing=
    for pair in ip:iproute2 git:git nsenter:util-linux mount:mount curl:curl flock:util-linux gzip:gzip xz:xz-utils; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    [ -d /etc/ssl/certs ] || missing="$missing ca-certificates"
    [ -n "$missing" ] || return 0
    say "installing system packages:$missing"
    quietly apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive quietly apt-get -qq install -y --no-install-recommends $missing
}

# The URI of the machine's own Debian mirror, from either form of apt's configuration.
mirror() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n 's/^deb  *\(\[[^]]*\]\)* *//p' "$file" | awk -v suite="$codename" '$2 == suite { print $1 }'
    done >"$CACHE/apt/mirrors"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        # Comment lines may stand inside a stanza; an empty line ends it.
        { grep -v '^#' "$file"; echo; } | awk -v suite="$codename" '
            /^[^ \t]+:/   { key = tolower($1) }
            key == "uris:"   { for (i = 1; i <= NF; i++) if ($i ~ /[+:]\//) uri = uri ? uri : $i }
            key == "suites:" { for (i = 1; i <= NF; i++) if ($i == suite) found = 1 }
            key == "enabled:" && tolower($2) == "no" { off = 1 }
            /^[ \t]*$/    { if (found && uri && !off) print uri; found = off = 0; uri = key = "" }'
    done >>"$CACHE/apt/mirrors"
    head -n 1 "$CACHE/apt/mirrors"
}

# An apt configuration that shares only Acquire settings (proxies and the like) and credentials with the machine's.
private_apt() {
    apt=$CACHE/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/none"
    : >"$apt/status"
    uri=$(mirror)
    [ -n "$uri" ] || die "no Debian mirror found in /etc/apt/sources.list or /etc/apt/sources.list.d"
    : >"$apt/sources.list"
    for suite in bookworm $SUITE; do
        grep -qF " $suite main" "$apt/sources.list" && continue
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >>"$apt/sources.list"
    done
    {
        apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets'
        cat <<-CONF
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; "arm64"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::Etc::parts "$apt/none";
		Dir::Etc::main "/dev/null";
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "$apt/none";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "$apt/none";
		Dir::State "$apt";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt";
		CONF
    } >"$apt/apt.conf"
    export APT_CONFIG="$apt/apt.conf"
}

# unpack DEB DIR [PATH]: the whole package, or one file of it.
unpack() {
    mkdir -p "$2"
    if [ $# -eq 3 ]; then
        dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" "./$3"
    else
        dpkg -x "$1" "$2"
    fi
}

# Puts Debian 13's kubectl at $CACHE/kubectl/kubectl once: it has the kustomize that deploy/buildkit must please.
fetch_kubectl() {
    [ ! -x "$CACHE/kubectl/kubectl" ] || return 0
    say "fetching kubectl (Debian trixie; unpacked, not installed)"
    rm -rf "$CACHE/kubectl"
    mkdir -p "$CACHE/apt" "$CACHE/kubectl/debs"
    (
        SUITE=trixie
        private_apt
        quietly apt-get -qq update
        cd "$CACHE/kubectl/debs"
        quietly apt-get -qq download kubectl/trixie
        rm -rf "$CACHE/apt"
    ) || exit 1
    unpack "$CACHE"/kubectl/debs/kubectl_*.deb "$CACHE/kubectl/root" usr/bin/kubectl
    rm -r "$CACHE/kubectl/debs"
    quietly "$CACHE/kubectl/root/usr/bin/kubectl" version --client
    mv "$CACHE/kubectl/root/usr/bin/kubectl" "$CACHE/kubectl/kubectl"
    rm -r "$CACHE/kubectl/root"
}

# What skopeo and buildah link besides the C library, of bookworm.
IMAGE_LIBRARIES="libassuan0 libdevmapper1.02.1 libgpg-error0 libgpgme11 libpcre2-8-0 libseccomp2 libselinux1 libudev1"

# Puts Debian 12's skopeo, umoci and buildah at $CACHE/image-tools/bin once: other programs' readers and writers of
# images, to hold ours against. They run with libraries of their own, unpacked beside them.
fetch_image_tools() {
    tools=$CACHE/image-tools
    [ ! -f "$tools/complete" ] || return 0
    say "fetching skopeo, umoci and buildah (Debian bookworm; unpacked, not installed)"
    rm -rf "$tools"
    mkdir -p "$CACHE/apt" "$tools/debs" "$tools/bin"
    (
        SUITE=bookworm
        private_apt
        quietly apt-get -qq update
        cd "$tools/debs"
        for package in skopeo umoci buildah $IMAGE_LIBRARIES; do
            quietly apt-get -qq download "$package:amd64/bookworm"
        done
        rm -rf "$CACHE/apt"
    ) || exit 1
    for deb in "$tools"/debs/*.deb; do unpack "$deb" "$tools/root"; done
    rm -r "$tools/debs"
    for name in skopeo umoci buildah; do
        image_tool_script >"$tools/bin/$name"
        chmod +x "$tools/bin/$name"
        quietly "$tools/bin/$name" --version
    done
    : >"$tools/complete"
}

image_tool_script() {
    cat <<'EOF_'
#!/bin/sh
tools=$(dirname "$(dirname "$(readlink -f "$0")")")
LD_LIBRARY_PATH=$tools/root/usr/lib/x86_64-linux-gnu:$tools/root/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
exec "$tools/root/usr/bin/${0##*/}" "$@"
EOF_
}

# Fills $ROOT once; later runs find it complete.
fetch_packages() {
    fetch_kubectl
    fetch_image_tools
    [ ! -f "$ROOT/complete" ] || return 0
    say "fetching Debian packages (suites bookworm and $SUITE; unpacked, not installed)"
    rm -rf "$ROOT"
    mkdir -p "$CACHE/apt" "$ROOT/debs"
    (
        private_apt
        quietly apt-get -qq update
        cd "$ROOT/debs"
        # runc of sid needs a newer libc than bookworm's.
        quietly apt-get -qq download "docker.io/$SUITE" "containerd/$SUITE" runc/bookworm \
            docker-registry/bookworm qemu-user-static/bookworm \
            busybox-static:amd64/bookworm busybox-static:arm64/bookworm
        # For comparison only; older suites lack them or have them inside docker.io.
        apt-get -qq download "docker-cli/$SUITE" >/dev/null 2>&1 || true
        apt-get -qq download "docker-buildx/$SUITE" >/dev/null 2>&1 || true
        rm -rf "$CACHE/apt"
    ) || exit 1
    for deb in "$ROOT"/debs/*.deb; do
        case ${deb##*/} in
        qemu-user-static_*) unpack "$deb" "$ROOT/qemu" usr/bin/qemu-aarch64-static ;;
        busybox-static_*_amd64.deb) unpack "$deb" "$ROOT/busybox-amd64" ;;
        busybox-static_*_arm64.deb) unpack "$deb" "$ROOT/busybox-arm64" ;;
        *) unpack "$deb" "$ROOT/root" ;;
        esac
    done
    rm -r "$ROOT/debs"
    for program in dockerd containerd runc docker-registry; do
        quietly "$(program $program)" --version
    done
    : >"$ROOT/complete"
}

# The path of an unpacked program; nothing if it isn't there.
program() {
    for dir in usr/sbin usr/bin usr/libexec/docker/cli-plugins; do
        [ -x "$ROOT/root/$dir/$1" ] && echo "$ROOT/root/$dir/$1" && return
    done
    return 0
}
