#!/bin/sh
# 100 GiB of an NBD server in a process that keeps 64 MiB of them: nothing that it writes is lost.
set -eu

command -v nbdkit >/dev/null || {
	echo "nbdkit is not installed"
	exit 77
}
[ -e "$MODULE" ] || {
	echo "the NBD module was not built"
	exit 77
}
dir=$(mktemp -d)
nbdkit=
trap '[ -z "$nbdkit" ] || kill "$nbdkit"; rm -rf "$dir"' EXIT
nbdkit --foreground --exit-with-parent --unix "$dir/socket" pattern 100G &
nbdkit=$!
while ! [ -S "$dir/socket" ]; do
	kill -0 "$nbdkit"
done
"$EXAMPLE" "nbd+unix:///?socket=$dir/socket" 64 20000 >"$dir/said"
cat "$dir/said"
grep -q '^100.0 GiB at ' "$dir/said"
grep -q '^changes that were lost: 0$' "$dir/said"
# With room for the heap, the threads and what is being fetched.
sed -n 's/^[0-9]* MiB of it in memory; the most this process ever had: \([0-9]*\) MiB$/\1/p' "$dir/said" >"$dir/most"
[ "$(cat "$dir/most")" -lt 192 ]
