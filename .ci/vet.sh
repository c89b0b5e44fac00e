#!/usr/bin/env bash
# The house rules that a text search can hold. Prints what breaks one, and exits 1.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$(go list -m)
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.go')
failed=0

# forbid WHY PATTERN FILE...: no line may match, comments aside.
forbid() {
	local why=$1 pattern=$2 found
	shift 2
	[ $# -gt 0 ] || return 0
	if found=$(grep -nHE "$pattern" "$@" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*//'); then
		broken "$why" "$found"
	fi
}
broken() { printf 'house rule: %s\n%s\n' "$1" "$2" >&2; failed=1; }
# those PATTERN / but PATTERN: the files whose name matches, or doesn't.
those() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }
but() { printf '%s\n' "${files[@]}" | grep -vE "$1" || true; }

forbid 'nobody can stop a time.After: use a timer that is stopped, or context.AfterFunc' \
	'\btime\.After\(' "${files[@]}"
if found=$(grep -nHE '\b(TODO|FIXME|XXX)\b' "${files[@]}"); then
	broken 'what is still to be done is an issue, not a comment' "$found"
fi
if found=$(LC_ALL=C.UTF-8 grep -nHE '^.{101}' $(but 'example.*_test\.go$') | grep -E '^[^:]+:[0-9]+:	*// [^ ]'); then
	broken 'a comment has 100 columns at most' "$found" # where it is no list, and no code in a comment
fi
mapfile -t library < <(but '^(middleware/notify\.go|examples/.*|bench/(herd|crowd|atonce|drill)/main\.go|bench/field/.*|internal/zoo/server/main\.go|internal/interplay/recipes/.*|.*_test\.go)$')
forbid 'the library ends no process and takes no signal (middleware/notify.go is called by name)' \
	'\b(os\.Exit|log\.Fatal[a-z]*|signal\.(Notify|NotifyContext|Ignore))\(' "${library[@]}"

# Time is tested on a bubble's clock. A real sleep hopes.
for f in $(those '_test\.go$' | grep -v '^internal/endings/'); do # whose peers pause, in bubbles mostly
	if grep -qE 'synctest\.|[bB]ubble' "$f"; then continue; fi # perhaps through a helper of another file
	forbid 'a test that sleeps does so in a synctest bubble' '\btime\.Sleep\(' "$f"
done

for f in "${files[@]}"; do
	most=400
	[[ $f != *_test.go ]] || most=600
	lines=$(wc -l < "$f")
	[ "$lines" -le "$most" ] || broken "a file has $most lines at most" "$f: $lines"
done

found=$(but '^((middleware|stream|ws|sse|policy|internal|examples|bench)/|doc\.go$)')
[ -z "$found" ] || broken 'Go code lives in middleware stream ws sse policy internal examples bench, and in a doc.go with no code' "$found"
if found=$(grep -nE '^(import|const|var|type|func)\b' doc.go); then
	broken 'the root package is documentation only' "$found"
fi

bash .ci/features | cmp -s - middleware/features_generated.go ||
	broken 'what is generated is as its generator writes it: go generate ./middleware' middleware/features_generated.go

# may ROOM IMPORT...: of all that is not in the standard library, the packages in
# that folder may depend on these only.
may() {
	local room=$1 found
	shift
	found=$(go list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' "./$room" |
		grep -vxF -f <(printf "$module/%s\n" "$room") | grep -vxE "$(IFS='|'; echo "${*:-none}")" || true)
	[ -z "$found" ] || broken "arrows point down: $room must not depend on" "$found"
}
may policy
may internal/iolock
may internal/request
may internal/format "$module/policy"
may internal/wsconn "$module/(policy|internal/(format|iolock))"
may internal/tracked "$module/(policy|internal/format)"
may sse "$module/(policy|internal/format)"
may ws "$module/(policy|internal/format)"
may stream "$module/(policy|internal/(format|tracked))"
may stream/mcp "$module/(policy|sse|internal/(format|tracked))"
may middleware/status "$module/(middleware|policy|stream|ws|sse|internal/.*)" 'golang.org/x/sync/.*' 'github.com/gorilla/websocket'
may middleware "$module/(policy|stream|ws|sse|internal/.*)" 'golang.org/x/sync/.*' 'github.com/gorilla/websocket'
may middleware/draintest "$module/(middleware|policy|stream|ws|sse|internal/.*)" 'golang.org/x/sync/.*' 'github.com/gorilla/websocket'

exit "$failed"
