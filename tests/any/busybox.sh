# Busybox, a static program that starts itself again for each of its commands: what it says under
# Userfault is what it says without.
command -v busybox >/dev/null || {
	echo "there is no busybox (Debian: busybox-static)"
	exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

cat >script <<'END'
set -e
trap 'echo "signal, $n turns"; exit 3' USR1
seq 1 2000 | sort -rn | awk '{s += $1} END {print s}'
mkdir -p tree/a/b && echo text >tree/a/b/file
tar -cf tree.tar tree && tar -tf tree.tar
find tree -type f -exec cat {} +
i=0
while [ $i -lt 30 ]; do
	(echo $i | sed 's/^/line /') | grep -c line >/dev/null
	i=$((i + 1))
done
sleep 60 &
kill $!
wait $! || echo "killed: $?"
dd if=/dev/zero bs=1k count=64 2>/dev/null | md5sum
gzip <tree.tar | gunzip | cmp - tree.tar && echo same
n=$i
kill -USR1 $$
echo "not reached"
END
busybox sh script >native 2>&1
status=$?
"$USERFAULT" run -- busybox sh script >hosted 2>&1
[ $? -eq $status ] || {
	echo "status differs from $status"
	cat hosted
	exit 1
}
diff native hosted && [ $status -eq 3 ]
