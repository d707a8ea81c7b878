#!/bin/sh
# Every public header, alone, from C and C++ of all ages, with all warnings, by gcc and clang.
# headers.sh INCLUDE
set -u

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 compiled=0
warnings='-Wall -Wextra -pedantic -Werror'

# try COMPILER LANGUAGE STANDARD...
try() {
	compiler=$1 language=$2
	shift 2
	command -v "$compiler" >/dev/null || { echo "no $compiler on this machine"; return; }
	for standard; do
		# A compiler may be older than the standard.
		"$compiler" -x "$language" -std="$standard" -fsyntax-only /dev/null 2>"$dir/said" || {
			echo "$compiler knows no $standard"
			continue
		}
		for header in "$include"/userfault/*.h; do
			printf '#include <userfault/%s>\n#include <userfault/%s>\n' "${header##*/}" \
				"${header##*/}" >"$dir/one"
			compile "${header##*/}"
		done
		for header in "$include"/userfault/*.h; do
			echo "#include <userfault/${header##*/}>"
		done >"$dir/one"
		uses >>"$dir/one"
		compile "all headers"
	done
}

# Options as a program begins with them.
uses() {
	sed -n 's/^#define \(UF_[A-Z]*_OPTIONS\)\>.*/\1/p' "$include"/userfault/*.h | while read -r macro; do
		type=$(echo "$macro" | tr A-Z a-z)
		echo "struct $type begin_$type(void);"
		echo "struct $type begin_$type(void) { struct $type o = $macro; return o; }"
	done
}

compile() {
	if ! "$compiler" -x "$language" -std="$standard" $warnings -I"$include" -c -o "$dir/object" "$dir/one" \
		2>"$dir/said"; then
		echo "FAIL: $1 with $compiler -std=$standard:"
		cat "$dir/said"
		failed=1
	fi
	compiled=$((compiled + 1))
}

include=$1
try gcc c c11 c17 gnu17 c2x
try clang c c11 c17 c2x
try g++ c++ c++11 c++17 c++20
try clang++ c++ c++11 c++17
[ "$compiled" -ge 8 ] || { echo "FAIL: only $compiled compiled"; failed=1; }
echo "$compiled compiled"
exit "$failed"
