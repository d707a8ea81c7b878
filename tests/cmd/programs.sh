# What cannot run under the preload library is refused before it starts, as a shell would refuse it.
. "$(dirname "$0")/lib.sh"

refused 127 "there is no program 'no-such-program' in the directories of PATH" \
	run -- no-such-program
refused 127 "there is no program './no-such-program'" run -- ./no-such-program
refused 127 "there is no program" run -- /etc/passwd/below
refused 126 "is a directory" run -- "$dir"
refused 126 "another C library" run -- "$HELPERS/other-libc"
refused 127 "there is no program" run --stats -- ./no-such-program

file=$dir/program
echo 'echo ran' >"$file"
refused 126 "may not be executed" run -- "$file"
chmod +x "$file"
refused 126 "is neither a program for this machine nor a script" run -- "$file"
refused 126 "is neither a program for this machine nor a script" run --stats -- "$file"

printf '#!/no/such/interpreter\n' >"$file"
refused 127 "/no/such/interpreter, which is not there" run -- "$file"
printf '#!\n' >"$file"
refused 126 "names no interpreter" run -- "$file"
printf '#!%s -x\n' "$HELPERS/static-program" >"$file"
refused 126 "is a static program" run -- "$file"

# A static program runs in a host, which can be missing.
for options in '' '--stats'; do
	what="a static program, $options"
	run "$USERFAULT" run $options -- "$HELPERS/static-program"
	expect_status 0
	expect_out 'hello'
done
what='a static program started by another'
run "$USERFAULT" run -- sh -c 'exec "$0"' "$HELPERS/static-program"
expect_status 0
expect_out 'hello'
mkdir "$dir/alone"
cp "$USERFAULT" "$dir/alone/userfault"
what='without the host'
run env USERFAULT_PRELOAD="$PRELOAD" "$dir/alone/userfault" run -- "$HELPERS/static-program"
if [ ! -e "$HOST_INSTALLED" ]; then
	expect_status 125
	expect_sentence "is a static program, and the program $HOST_INSTALLED that hosts those is not there"
fi

printf '#! /bin/sh -e\necho "ran $1"\n' >"$file"
what='a script'
run "$USERFAULT" run -- "$file" once
expect_status 0
expect_out 'ran once'

# PATH: the first that may be executed, whatever stands before it.
mkdir "$dir/a" "$dir/b"
: >"$dir/a/tool"
cp "$file" "$dir/b/tool"
what='PATH'
run env PATH="$dir/a:$dir/b:$PATH" "$USERFAULT" run -- tool twice
expect_status 0
expect_out 'ran twice'
what='PATH without an executable one'
run env PATH="$dir/a" "$USERFAULT" run -- tool
expect_status 126
expect_sentence "may not be executed"

if [ "$(id -u)" -ne 0 ]; then
	what='PATH with a directory that cannot be searched'
	chmod 0 "$dir/a"
	run env PATH="$dir/a" "$USERFAULT" run -- tool
	expect_status 127
	expect_sentence "there is no program 'tool'"
	chmod 700 "$dir/a"
fi

# Another machine's program: this one's with the machine field of the ELF header changed.
cp "$HELPERS/ends" "$file"
printf '\050\000' | dd of="$file" bs=1 seek=18 conv=notrunc 2>/dev/null
refused 126 "is a program for 32-bit ARM" run -- "$file"

# Cut off in its header.
head -c 40 "$HELPERS/ends" >"$file"
what='a cut off program'
run "$USERFAULT" run -- "$file"
expect_status 126

finish
