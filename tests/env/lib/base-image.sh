# REGISTRY/base:latest: busybox with its applets for both architectures, put together without any builder so that no
# test depends on the thing it tests. Equal busybox packages give equal digests.

# rootfs ARCH: a small build context with the same files.
rootfs() {
    dir=$STATE/base/$1
    mkdir -p "$dir/bin" "$dir/etc" "$dir/root" "$dir/tmp"
    chmod 1777 "$dir/tmp"
    cp "$ROOT/busybox-$1/bin/busybox" "$dir/bin/busybox"
    # The list of the amd64 one serves both: same version.
    for applet in $("$ROOT/busybox-amd64/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$dir/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
    echo 'root:x:0:' >"$dir/etc/group"
}

digest() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }
size() { stat -c %s "$1"; }

# descriptor MEDIA_TYPE FILE
descriptor() { printf '"mediaType":"%s","digest":"%s","size":%s' "$1" "$(digest "$2")" "$(size "$2")"; }

# put URL MEDIA_TYPE FILE
put() {
    curl -fsS --noproxy '*' -o /dev/null -X PUT -T "$3" -H "Content-Type: $2" "$1" || die "can't push to $REGISTRY"
}

push_blob() {
    location=$(curl -fsS --noproxy '*' -X POST -D - -o /dev/null "http://$REGISTRY/v2/base/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    put "$location&digest=$(digest "$1")" application/octet-stream "$1"
}

# push_manifest REFERENCE MEDIA_TYPE FILE
push_manifest() { put "http://$REGISTRY/v2/base/manifests/$1" "$2" "$3"; }

OCI=application/vnd.oci.image

# Pushes one architecture and prints its descriptor for the index.
push_arch() {
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/layer" -C "$STATE/base/$1" .
    diff_id=$(digest "$work/layer")
    gzip -n "$work/layer"
    printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["/bin/sh"]},"rootfs":%s}' \
        "$1" "{\"type\":\"layers\",\"diff_ids\":[\"$diff_id\"]}" >"$work/config"
    printf '{"schemaVersion":2,"mediaType":"%s","config":{%s},"layers":[{%s}]}' "$OCI.manifest.v1+json" \
        "$(descriptor $OCI.config.v1+json "$work/config")" \
        "$(descriptor $OCI.layer.v1.tar+gzip "$work/layer.gz")" >"$work/manifest"
    push_blob "$work/layer.gz"
    push_blob "$work/config"
    push_manifest "$(digest "$work/manifest")" $OCI.manifest.v1+json "$work/manifest"
    printf '{%s,"platform":{"architecture":"%s","os":"linux"}}' \
        "$(descriptor $OCI.manifest.v1+json "$work/manifest")" "$1"
    rm "$work/layer.gz"
}

push_base() {
    ! curl -fsS --noproxy '*' -o /dev/null -I -H "Accept: $OCI.index.v1+json" \
        "http://$REGISTRY/v2/base/manifests/latest" 2>/dev/null || return 0
    say "pushing $REGISTRY/base:latest"
    work=$(mktemp -d)
    for node in $NODES; do
        rootfs "$node"
        push_arch "$node" >"$work/$node"
    done
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s,%s]}' $OCI.index.v1+json \
        "$(cat "$work/amd64")" "$(cat "$work/arm64")" >"$work/index"
    push_manifest latest $OCI.index.v1+json "$work/index"
    rm -r "$work"
}
