#!/usr/bin/env bash
# What action.yml runs: its inputs (INPUT_*) become flags of mbuild, and what mbuild says becomes the action's
# outputs, annotations and job summary. Needs bash, awk and coreutils.
set -euo pipefail
here=$(dirname "$0")

# Secrets and mbuild's own files; outside the workspace, so in no build context.
private=$(mktemp -d "${RUNNER_TEMP:-/tmp}/mbuild-XXXXXX")
trap 'rm -rf "$private"' EXIT

refuse() {
    printf '::error title=mbuild::%s\n' "$1"
    exit 2
}

# list INPUT: its entries into `items`, one a line, without the spaces around them. An entry in double quotes may go
# over several lines; "" in it is one quote.
list() {
    local name=INPUT_$1 line entry='' open=''
    items=()
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        if [ -z "$open" ]; then
            line=${line#"${line%%[![:space:]]*}"}
            line=${line%"${line##*[![:space:]]}"}
            case $line in
                '') continue ;;
                \"*) open=yes entry='' line=${line#\"} ;;
                *) items+=("$line"); continue ;;
            esac
        else
            entry+=$'\n'
        fi
        entry+=$line
        if [[ $line =~ (^|[^\"])(\"\")*\"$ ]]; then
            entry=${entry%\"}
            items+=("${entry//\"\"/\"}")
            open=''
        fi
    done < <(printf '%s' "${!name:-}")
    [ -z "$open" ] || refuse "a quote in the input ${1,,} is not closed"
}

# words INPUT: the same, where commas separate entries too.
words() {
    local name=INPUT_$1
    local text=${!name:-}
    printf -v "$name" '%s' "${text//,/$'\n'}"
    list "$1"
}

# one FLAG INPUT: passes a value on unless it is empty.
one() {
    local name=INPUT_$2
    [ -z "${!name:-}" ] || args+=("$1=${!name}")
}

# each FLAG: passes every one of `items` on.
each() {
    local item
    for item in "${items[@]}"; do args+=("$1" "$item"); done
}

args=(build --metadata-file "$private/metadata.json")
[ "${RUNNER_DEBUG:-}" != 1 ] || args+=(-v)

one --builder BUILDER
one --config CONFIG
if [ -n "${INPUT_CONFIG_INLINE:-}" ]; then
    [ -z "${INPUT_CONFIG:-}" ] || refuse 'config and config-inline exclude each other'
    printf '%s\n' "$INPUT_CONFIG_INLINE" > "$private/mbuild.toml"
    args+=(--config "$private/mbuild.toml")
fi

one --file FILE
one --target TARGET
one --network NETWORK
one --shm-size SHM_SIZE
one --cgroup-parent CGROUP_PARENT
one --call CALL
one --context-key CONTEXT_KEY
one --push PUSH
one --load LOAD
one --pull PULL
one --no-cache NO_CACHE
one --provenance PROVENANCE
one --sbom SBOM
one --keep-going KEEP_GOING
one --allow-emulation ALLOW_EMULATION

words PLATFORMS;        each --platform
words TAGS;             each --tag
words ADD_HOSTS;        each --add-host
words ALLOW;            each --allow
words NO_CACHE_FILTERS; each --no-cache-filter
words SSH;              each --ssh
list OUTPUTS;           each --output
list BUILD_ARGS;        each --build-arg
list BUILD_CONTEXTS;    each --build-context
list LABELS;            each --label
list ANNOTATIONS;       each --annotation
list ATTESTS;           each --attest
list CACHE_FROM;        each --cache-from
list CACHE_TO;          each --cache-to
list ULIMIT;            each --ulimit

# secret ID VALUE: through a file that only this user may read; values are in no argument.
secrets=0
secret() {
    secrets=$((secrets + 1))
    printf '%s' "$2" > "$private/secret-$secrets"
    args+=(--secret "id=$1,src=$private/secret-$secrets")
}

# pair INPUT N ENTRY: refuses an entry that is not ID=VALUE, without showing it.
pair() {
    case $3 in
        ?*=?*) ;;
        *) refuse "the input $1: entry $2 is not of the form ID=VALUE" ;;
    esac
}

token_given=''
list SECRETS
for item in "${items[@]}"; do
    pair secrets "$((secrets + 1))" "$item"
    [ "${item%%=*}" != GIT_AUTH_TOKEN ] || token_given=yes
    secret "${item%%=*}" "${item#*=}"
done
if [ -n "${INPUT_GITHUB_TOKEN:-}" ] && [ -z "$token_given" ]; then
    secret GIT_AUTH_TOKEN "$INPUT_GITHUB_TOKEN"
fi
unset INPUT_SECRETS INPUT_GITHUB_TOKEN INPUT_CONFIG_INLINE
words SECRET_ENVS
for item in "${items[@]}"; do
    pair secret-envs '' "$item"
    args+=(--secret "id=${item%%=*},env=${item#*=}")
done
list SECRET_FILES
for item in "${items[@]}"; do
    pair secret-files '' "$item"
    args+=(--secret "id=${item%%=*},src=${item#*=}")
done

context=${INPUT_CONTEXT:-.}
args+=(-- "$context")

# No line of a build's output is taken for a command to the runner.
token=$(head -c 18 /dev/urandom | base64 | tr -dc '[:alnum:]')
printf '::stop-commands::%s\n' "$token"
mkfifo "$private/talk"
tee "$private/log" < "$private/talk" &
tee=$!
mbuild "${args[@]}" > "$private/talk" 2>&1 &
mbuild=$!
# The runner signals this shell alone when a job is cancelled: mbuild then cancels the builds on the nodes.
cancelled=''
trap 'cancelled=yes; kill -TERM "$mbuild" 2>/dev/null || true' INT TERM
status=0
wait "$mbuild" || status=$?
if [ -n "$cancelled" ]; then
    status=0
    wait "$mbuild" || status=$?
fi
wait "$tee" || true
printf '::%s::\n' "$token"

export DOCKERFILE=${INPUT_FILE:-${context%/}/Dockerfile}
awk -f "$here/annotations.awk" "$private/log"

metadata=$private/metadata.json
[ -f "$metadata" ] || : > "$metadata"
# Keys of the file's first level are indented by two spaces.
key() { sed -n "s/^  \"$1\": \"\([^\"]*\)\",\{0,1\}$/\1/p" "$metadata"; }
digest=$(key containerimage.digest)
imageid=$(key containerimage.config.digest)
{
    printf 'digest=%s\n' "$digest"
    printf 'imageid=%s\n' "${imageid:-$digest}"
    printf 'metadata<<%s\n' "$token"
    cat "$metadata"
    printf '%s\n' "$token"
} >> "$GITHUB_OUTPUT"

{
    awk -f "$here/summary.awk" "$metadata"
    [ -z "$digest" ] || printf '\nDigest: `%s`\n' "$digest"
    key image.name | tr ',' '\n' | sed 's/.*/- `&`/'
    if [ "$status" -ne 0 ]; then
        printf '\n```text\n'
        grep -E '^(ERROR|hint): ' "$private/log" || printf 'exit code %s\n' "$status"
        printf '```\n'
    fi
} >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
exit "$status"
