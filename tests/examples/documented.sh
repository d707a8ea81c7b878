#!/bin/sh
# Every program that the tutorial and the manual pages of the pager show compiles without a warning,
# and those of the tutorial do what they say.
. "$(dirname "$0")/lib.sh"

flags="-Wall -Wextra -Werror -I$SOURCE/include -L$LIBRARIES -luserfault-pager -luserfault -pthread
	-Wl,-rpath,$LIBRARIES -Wl,-rpath-link,$LIBRARIES"

# programs PREFIX: the blocks of stdin that are whole programs, as PREFIX.1.c, PREFIX.2.c...
programs() {
	awk -v prefix="$1" '/^```/ {
		if (inside && text ~ /int main\(/) {
			file = prefix "." ++n ".c"
			printf "%s", text >file
			close(file)
		}
		inside = !inside; text = ""; next
	} inside { text = text $0 "\n" }'
}

programs "$dir/tutorial" <"$SOURCE/docs/pager.md"
for page in libuserfault-pager uf_pager_new uf_pager_map uf_pager_attach uf_source_open uf_source_new \
	uf_snapshot_begin uf_pager_send; do
	sed 's/\\\\/\\/g' "$SOURCE/docs/man/$page.3.scd" | programs "$dir/$page"
	[ -e "$dir/$page.1.c" ] || fail "$page(3) has no program as an example"
done
for program in "$dir"/*.c; do
	cc "$program" -o "${program%.c}" $flags || fail "$(basename "$program" .c) does not compile"
done

head -c 100000 /dev/urandom | base64 >"$dir/file"
"$dir/tutorial.1" "$dir/file" >"$dir/out" || fail "the file, mapped lazily: status $?"
[ "$(cat "$dir/out")" = "$(head -c 16 "$dir/file")" ] || fail "it is not what is in the file"
/usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes(b ^ 0x5a for b in sys.stdin.buffer.read()))' \
	<"$dir/file" >"$dir/encrypted"
"$dir/tutorial.2" "$dir/encrypted" >"$dir/decrypted" || fail "a source of your own: status $?"
cmp "$dir/file" "$dir/decrypted" || fail "it is not what is in the file"

# Those of the manual pages, but for the one that needs the kernel's userfaultfd.
cd "$dir"
size=$(stat -c %s file)
example() {
	page=$1 expected=$2
	shift 2
	"./$page.1" "$@" >out 2>&1 || fail "the example of $page(3): status $?"
	[ "$(cat out)" = "$expected" ] || fail "the example of $page(3) does not print '$expected'"
}
example libuserfault-pager "$(head -c 16 file)" file
example uf_pager_new ''
example uf_source_open "$size bytes" file
example uf_source_new 10000000000
example uf_pager_map '' file order
[ -s order ] || fail "the example of uf_pager_map(3) has recorded nothing"
example uf_pager_map '' file order
example uf_snapshot_begin ''
example uf_source_open '16777216 bytes' letters.img
example libuserfault-pager aaaaaaaaaaaaaaaa letters.img
example uf_pager_send 'from one process to another'
