# lib.sh - for the tests of examples. In the environment: EXAMPLE, the program; SOURCE, the tree.
set -eu
LC_ALL=C.UTF-8
export LC_ALL

dir=$(mktemp -d)
children=
trap '[ -z "$children" ] || kill $children 2>/dev/null || :; rm -rf "$dir"' EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "FAIL: $*"
	[ ! -e "$dir/out" ] || sed 's/^/	| /' "$dir/out"
	exit 1
}

# says REGEX: the last output has such a line.
says() {
	grep -qE -e "$1" "$dir/out" || fail "no line is $1"
}
