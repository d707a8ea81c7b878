# The probes are there, and the example scripts work with them, where bpftrace can attach.
. "$LIB"

if ! command -v readelf >"$dir/out"; then
	echo 'skipped: there is no readelf'
	exit 77
fi
readelf -n "$PRELOAD" >"$dir/notes" 2>"$dir/err"
if ! grep -q stapsdt "$dir/notes" && ! echo '#include <sys/sdt.h>' | cc -E - >"$dir/out" 2>"$dir/err"; then
	echo 'skipped: built without sys/sdt.h'
	exit 77
fi
for name in fault__begin fault__end message fill wake fetch evict; do
	grep -A1 'Provider: userfault' "$dir/notes" | grep -qx " *Name: $name" ||
		fail "there is no probe $name"
done
[ "$failed" -eq 0 ] || finish

if ! command -v bpftrace >"$dir/out"; then
	echo 'skipped: there is no bpftrace'
	exit 77
fi
if ! timeout 60 bpftrace -e "usdt:$PRELOAD:userfault:fill { } interval:ms:1 { exit(); }" \
	>"$dir/out" 2>&1 || ! grep -q '^Attaching' "$dir/out"; then
	echo "skipped: bpftrace cannot attach here: $(tail -n 1 "$dir/out")"
	exit 77
fi

# shows SCRIPT PATTERN...: the program runs while the script looks, which shows all of these in the
# end. When it has attached is not to be seen: the next try gives it more time.
shows() {
	script=$1
	shift
	for tries in 2 6 20 60; do
		bpftrace "$EXAMPLES/$script" "$PRELOAD" >"$dir/seen" 2>&1 &
		tracer=$!
		until grep -q '^Attaching' "$dir/seen" || ! kill -0 "$tracer" 2>"$dir/err"; do :; done
		while [ "$tries" -gt 0 ]; do
			"$USERFAULT" run --memory-limit=1M --swap=zstd -- "$HELPERS/survive" protect \
				>"$dir/out" 2>&1
			tries=$((tries - 1))
		done
		kill -INT "$tracer"
		wait "$tracer"
		missing=
		for pattern in "$@"; do
			grep -q -e "$pattern" "$dir/seen" || missing=$pattern
		done
		[ -n "$missing" ] || return 0
	done
	fail "$script does not show '$missing'"
	sed 's/^/	| /' "$dir/seen" | tail -n 30
}

shows fault-latency.bt '@latency.missing.:' '@latency.write-protect.:' '^\[[0-9]*K, [0-9]*K)'
shows fills.bt '@fills.copy.: [1-9]' '@wakes: [1-9]' '@out_bytes: [1-9]' '@in_bytes: [1-9]'
shows who-waits.bt '@waited_us.survive, [0-9]*, .*: [1-9]'

finish
