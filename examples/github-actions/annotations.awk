# Reads what mbuild says and prints GitHub annotations: its errors, at the lines of the Dockerfile that it marks with
# >>> above them, and its list of warnings. DOCKERFILE is the path of the Dockerfile in the workspace; mbuild knows
# only its name.

function escaped(text) {
    gsub(/%/, "%25", text)
    gsub(/\r/, "%0D", text)
    return text
}

function property(text) {
    text = escaped(text)
    gsub(/:/, "%3A", text)
    gsub(/,/, "%2C", text)
    return text
}

function in_workspace(name,    path, last, root) {
    path = ENVIRON["DOCKERFILE"]
    last = path
    sub(/.*\//, "", last)
    if (name != last) return name
    root = ENVIRON["GITHUB_WORKSPACE"] "/"
    if (root != "/" && index(path, root) == 1) path = substr(path, length(root) + 1)
    while (path ~ /^\.\//) sub(/^\.\/+/, "", path)
    return path
}

# annotate("error", "Dockerfile", 3, 4, "…"); without a name there is no place.
function annotate(level, name, first, last, message,    place) {
    if (name != "") {
        place = "file=" property(in_workspace(name)) ",line=" first
        if (last > first) place = place ",endLine=" last
        place = place ","
    }
    printf "::%s %stitle=mbuild::%s\n", level, place, escaped(message)
}

BEGIN { rule = "--------------------" }

# An excerpt: a name with a line, a rule, numbered lines, a rule.
$0 == rule {
    inside = !inside && heading != ""
    if (inside) { name = heading; first = last = 0 }
    heading = ""
    next
}
inside && /^ *[0-9]+ \| >>> / {
    split($0, parts, "|")
    last = parts[1] + 0
    if (!first) first = last
    next
}
inside { next }

# Its error follows. Nothing that a step prints begins a line.
/^ERROR: / {
    annotate("error", first ? name : "", first, last, substr($0, 8))
    first = 0
}

/^ [0-9]+ warnings? found:$/ { warnings = 1; next }
warnings && /^ - / {
    message = substr($0, 4)
    place = message
    sub(/ \[[^][]*\]$/, "", place)
    if (match(place, /\([^()]*:[0-9]+\)$/)) {
        place = substr(place, RSTART + 1, RLENGTH - 2)
        line = place
        sub(/.*:/, "", line)
        sub(/:[0-9]+$/, "", place)
        annotate("warning", place, line + 0, line + 0, message)
    } else {
        annotate("warning", "", 0, 0, message)
    }
    next
}
{ warnings = 0 }

{ heading = "" }
/:[0-9]+$/ { heading = $0; sub(/:[0-9]+$/, "", heading) }
