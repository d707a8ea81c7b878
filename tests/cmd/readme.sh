# The README's first program compiles against the library as installed, and does what it says.
. "$(dirname "$0")/lib.sh"

sed -n '/^```c$/,/^```$/p' "$SOURCE/README.md" | grep -v '^```' >"$dir/squares.c"
what='the first program'
run cc -Wall -Wextra -Werror -I"$SOURCE/include" "$dir/squares.c" -o "$dir/squares" \
	-L"$LIBRARIES" -luserfault -Wl,-rpath,"$LIBRARIES"
expect_status 0
cat "$dir/err"
run "$dir/squares"
expect_status 0
expect_out '144 10000000000'

what='the first program under userfault run'
run "$USERFAULT" run -- "$dir/squares"
expect_status 0
expect_out '144 10000000000'

finish
