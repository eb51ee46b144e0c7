# .state/env: what the tests are told.

# Everything comes from outside. (Variables of an env file of ours, sourced earlier, don't count.)
given() {
    [ -n "${MBUILD_TEST_AMD64:-}" ] && [ -n "${MBUILD_TEST_ARM64:-}" ] && [ -n "${MBUILD_TEST_REGISTRY:-}" ] &&
        [ "$MBUILD_TEST_AMD64" != "docker+unix://$STATE/amd64.sock" ]
}

# line VARIABLE VALUE
line() { printf "export %s='%s'\n" "$1" "$(printf %s "$2" | sed "s/'/'\\\\''/g")"; }

use_given() {
    [ ! -e "$STATE/settings" ] || die "an environment of ours is up as well: run down first"
    say "using MBUILD_TEST_AMD64, _ARM64 and _REGISTRY as given"
    mkdir -p "$STATE"
    {
        for variable in AMD64 ARM64 REGISTRY BASE BUILDX DOCKER KUBECTL SKOPEO UMOCI BUILDAH; do
            eval "value=\${MBUILD_TEST_$variable:-}"
            [ -z "$value" ] || line "MBUILD_TEST_$variable" "$value"
        done
        [ -n "${MBUILD_TEST_BASE:-}" ] || line MBUILD_TEST_BASE "$MBUILD_TEST_REGISTRY/base:latest"
    } >"$STATE/env"
}

write_env() {
    docker=$(program docker)
    buildx=$(program docker-buildx)
    {
        line MBUILD_TEST_AMD64 "docker+unix://$STATE/amd64.sock"
        line MBUILD_TEST_ARM64 "docker+unix://$STATE/arm64.sock"
        line MBUILD_TEST_REGISTRY "$REGISTRY"
        line MBUILD_TEST_BASE "$REGISTRY/base:latest"
        line MBUILD_TEST_BASE_DIR "$STATE/base"
        # May be killed by tests; restart brings one back.
        for name in amd64 arm64 registry; do
            line "MBUILD_TEST_PID_$(echo $name | tr '[:lower:]' '[:upper:]')" "$(recorded_pid $name)"
        done
        line MBUILD_TEST_RESTART "$ENV_DIR/restart"
        line MBUILD_TEST_STATE "$STATE"
        line MBUILD_TEST_NETNS_AMD64 "$(namespace amd64)"
        line MBUILD_TEST_NETNS_ARM64 "$(namespace arm64)"
        line MBUILD_TEST_HOST "$SUBNET.1"
        line MBUILD_TEST_KUBECTL "$CACHE/kubectl/kubectl"
        for name in skopeo umoci buildah; do
            line "MBUILD_TEST_$(echo $name | tr '[:lower:]' '[:upper:]')" "$CACHE/image-tools/bin/$name"
        done
        [ -z "$docker" ] || line MBUILD_TEST_DOCKER "$docker"
        [ -z "$buildx" ] || line MBUILD_TEST_BUILDX "$buildx"
    } >"$STATE/env.new"
    mv "$STATE/env.new" "$STATE/env"
}
