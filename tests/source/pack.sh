# userfault pack: images there and back, what it says, and what it leaves behind. In the
# environment also: CMD, the directory of the tests of the command.
. "$CMD/lib.sh"

pack() {
	run "$USERFAULT" pack "$@"
}

# What is in the directory besides the files named.
expect_files() {
	found=$(ls -A "$dir/work" | tr '\n' ' ')
	[ "$found" = "$1" ] || fail "$what: there is '$found', not '$1'"
}

# json NAME: a member of the JSON object on stdout.
json() {
	/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' \
		"$dir/out" "$1" 2>&1
}

expect_json() {
	[ "$(json "$1")" = "$2" ] || fail "$what: $1 is $(json "$1"), not $2"
}

mkdir "$dir/work"
reader=$(realpath "$(dirname "$0")")/read-image.py
cd "$dir/work" || exit 1

# 800 pages and some bytes: text, random, zero, repeated; a hole at the end.
/usr/bin/python3 -c '
import random
r = random.Random(5)
with open("memory", "wb") as f:
    for i in range(200):
        f.write(b"%8d" % i * 512)
    f.write(r.randbytes(200 * 4096))
    f.write(bytes(200 * 4096))
    for i in range(100):
        f.write(bytes([1 + i % 5]) * 4096)
    f.write(b"the end")
    f.truncate(800 * 4096 + 123)
'
cp memory ../memory

what='there'
pack memory image
expect_status 0
grep -q '^image: 3.1 MiB of memory in .* to 1), .* % zero, .* % repeated; [0-9.]* s$' "$dir/out" ||
	fail "$what: says $(cat "$dir/out")"
pack --info --json image
expect_status 0
expect_json size 3276923
expect_json pages 801
expect_json zero_pages 300
expect_json same_pages 95
expect_json stored_pages 406
expect_json stored "$(stat -c %s image)"
pack --info image
expect_status 0
grep -q 'stored *406 pages in 26 chunks of 64.0 KiB' "$dir/out" || fail "$what: $(cat "$dir/out")"
pack --check image
expect_status 0
expect_out 'image: intact'

what='a reader made from the documentation'
/usr/bin/python3 "$reader" image back 2>"$dir/err" || fail "$what: $(cat "$dir/err")"
cmp -s memory back || fail "$what: not the same"

what='and back'
pack --to=raw --verify --json image back
expect_status 0
expect_json kind raw
expect_json verified True
cmp -s memory back || fail "$what: not the same"
[ "$(stat -c %b back)" -le 4200 ] || fail "$what: no holes, $(stat -c %b back) blocks"

what='of all sorts'
for options in --chunk=4K '--chunk=1M --level=19' '--level=-5 --threads=1' '--threads=7 --chunk=16K'; do
	# shellcheck disable=SC2086
	pack --quiet --verify $options memory other
	expect_status 0
	expect_out ''
	# From one packed image to another.
	pack --quiet other third
	expect_status 0
	pack --quiet --to=raw third back
	expect_status 0
	cmp -s memory back || fail "$what: $options: not the same"
done
for io in uring threads; do
	pack --quiet --source-option=io=$io memory other
	if [ $io = uring ] && grep -q 'io_uring cannot be used' "$dir/err"; then
		continue
	fi
	expect_status 0
	pack --quiet --to=raw other back
	cmp -s memory back || fail "$what: $io: not the same"
done
rm -f other third back

what='nothing at all'
: >empty
pack --quiet --verify empty other
expect_status 0
pack --check other
expect_status 0
pack --quiet --to=raw other back
expect_status 0
[ -f back ] && [ ! -s back ] || fail "$what: not empty"
rm -f empty other back

what='in an order'
# Pages 700 down to 690, of which one is zero and those before repeat, then 5 and 6 in one run, and 5 again.
/usr/bin/python3 -c '
import struct
entries = [i << 12 for i in range(700, 689, -1)] + [5 << 12 | 1, 5 << 12]
with open("order", "wb") as f:
    f.write(struct.pack("<QIIQQ32x", 0x31524544524f4655, 1, 4096, 3276923, len(entries)))
    for e in entries:
        f.write(struct.pack("<Q", e))
'
pack --order=order --verify --json memory other
expect_status 0
expect_json ordered_pages 13
pack --quiet --to=raw other back
expect_status 0
cmp -s memory back || fail "$what: not the same"
/usr/bin/python3 "$reader" other back 2>"$dir/err" || fail "$what: $(cat "$dir/err")"
cmp -s memory back || fail "$what: not what the documentation says"
# The first slot is that of page 700, the next ones are those before it.
pack --info --json other
[ "$(json extents)" -gt 10 ] || fail "$what: $(json extents) runs, as without"
pack --quiet --order=memory memory other
expect_status 1
expect_sentence 'no order of pages'
truncate -s 4096 small
pack --quiet --order=order small other
expect_status 1
expect_sentence 'record it with this source'
rm -f small other back order

what='what is wrong with it'
cp image damaged
printf 'XXXX' | dd of=damaged bs=1 seek=20000 conv=notrunc 2>/dev/null
pack --check damaged
expect_status 1
expect_sentence 'damaged: 1 of its 26 chunks'
pack --check --json damaged
expect_status 1
expect_json intact False
expect_json damaged_chunks 1
pack --to=raw damaged back
expect_status 1
expect_sentence 'it is damaged'
truncate -s 100000 damaged
pack --check damaged
expect_status 1
expect_sentence 'cut off'
pack --info memory
expect_status 1
expect_sentence 'no packed image'
pack nowhere other
expect_status 1
expect_sentence 'No such file'
pack memory nowhere/other
expect_status 1
expect_sentence 'cannot be written'
rm -f damaged
expect_files 'image memory '

what='the command line'
for line in '' memory 'memory other third' '--info' '--check image other' '--info --check image' \
	'--info --order=x image' '--level=0 memory other' '--level=x memory other' \
	'--chunk=3K memory other' '--chunk=2M memory other' '--threads=0 memory other' \
	'--to=cooked memory other' '--source-option=x memory other' '--smoke memory other' '--order'; do
	# shellcheck disable=SC2086
	pack $line
	expect_status 2
	[ "$(wc -l <"$dir/err")" = 1 ] || fail "$what: '$line': $(cat "$dir/err")"
done
pack --ordr=x memory other
expect_sentence 'did you mean --order'
pack --to=raww memory other
expect_sentence "did you mean 'raw'"
pack --help
expect_status 0
[ -s "$dir/out" ] || fail "$what: no help"
expect_files 'image memory '

# A target that is there is replaced by a whole one, or not at all.
what='interrupted'
cp image other
mkfifo wait
(
	# Until it has read from the source, and waits for more of it.
	exec 3>wait
	"$USERFAULT" pack --quiet --source-option=io=threads --level=22 --chunk=1M --threads=1 big other 2>err &
	pid=$!
	echo $pid >&3
	exec 3>&-
	wait $pid
	echo $? >status
) &
# Incompressible, and so large that the strongest compression takes seconds.
/usr/bin/python3 -c '
import random
r = random.Random(1)
with open("big", "wb") as f:
    for i in range(48):
        f.write(r.randbytes(1 << 19) + bytes(range(256)) * 2048)
'
read -r pid <wait
# It has the source open, and is at work.
while kill -0 "$pid" 2>/dev/null && ! ls -l "/proc/$pid/fd" 2>/dev/null | grep -q '/big$'; do
	:
done
kill -TERM "$pid"
wait
[ "$(cat status)" = 143 ] || fail "$what: status $(cat status)"
cmp -s image other || fail "$what: the target was touched"
rm -f wait err status other big
expect_files 'image memory '
cmp -s memory ../memory || fail 'the source was written to'

exit $failed
