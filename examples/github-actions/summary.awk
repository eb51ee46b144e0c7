# Reads mbuild's metadata file and prints a Markdown table with a row for each platform. The file's layout is mbuild's
# own: one key a line, two spaces a level.

function value(text) {
    sub(/^[^:]*: /, "", text)
    sub(/,$/, "", text)
    gsub(/^"|"$/, "", text)
    return text
}

# Seconds since midnight.
function clock(time,    parts) {
    split(substr(time, 12), parts, /[:Z]/)
    return parts[1] * 3600 + parts[2] * 60 + parts[3]
}

function took(started, completed,    seconds) {
    if (started == "" || completed == "") return "–"
    seconds = clock(completed) - clock(started)
    if (seconds < 0) seconds += 86400
    if (seconds >= 60) return sprintf("%d min %d s", seconds / 60, seconds % 60)
    return sprintf("%.1f s", seconds)
}

function code(text) { return text == "" ? "–" : "`" text "`" }

/^  "mbuild.platforms": \{/ {
    inside = 1
    print "| platform | node | time | steps | cached | digest |"
    print "|---|---|--:|--:|--:|---|"
    next
}
/^  \}/ { inside = 0 }
!inside { next }
/^    "[^"]*": \{/ {
    platform = $0
    gsub(/^    "|": \{$/, "", platform)
    split("", of)
    next
}
/^      "(node|instance|started|completed|manifest)": / || /^        "(total|cached)": / {
    key = $0
    gsub(/^ *"|": .*$/, "", key)
    of[key] = value($0)
}
/^    \}/ {
    node = of["node"]
    if (of["instance"] != "" && of["instance"] != node) node = node " (" of["instance"] ")"
    printf "| %s | %s | %s | %s | %s | %s |\n", platform, node, took(of["started"], of["completed"]),
        of["total"] + 0, of["cached"] + 0, code(of["manifest"])
}
