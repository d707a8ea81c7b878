#!/bin/sh
# A Ceph cluster of one monitor and one OSD that keeps its objects in memory, on loopback and
# without authentication: for tests and for trying things out. Any user may start one.
#
#   ceph.sh start DIR [POOL]   DIR is made if need be; DIR/ceph.conf is what clients are given. The
#                              pool (default: guests) is there and takes objects when this returns.
#                              77: it cannot be started here; a line says why
#   ceph.sh stop DIR           ends it and removes its data; DIR goes if nothing else is in it
#   ceph.sh pause|resume DIR   stops the OSD from answering, and lets it go on
#   ceph.sh down|up DIR        ends the OSD, and starts another one, as empty as memory is
set -eu

usage() {
	echo "usage: ceph.sh start|stop|pause|resume|down|up DIR [POOL]" >&2
	exit 2
}

[ $# -ge 2 ] || usage
verb=$1 dir=$2 pool=${3:-guests}

skip() {
	echo "ceph.sh: skipped: $*"
	exit 77
}

say_logs() {
	for log in "$dir"/out "$dir"/mon.log "$dir"/osd.log; do
		[ ! -s "$log" ] || { echo "-- $log"; tail -n 15 "$log"; }
	done >&2
}

in_cluster() {
	CEPH_CONF=$dir/ceph.conf "$@"
}

# The process that a file names, if it is still ours: its command line has our directory.
process_of() {
	[ -s "$dir/$1.pid" ] || return 1
	pid=$(cat "$dir/$1.pid")
	tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/ceph.conf"
}

end_process() {
	process_of "$1" || return 0
	kill -KILL "$pid"
	timeout 30 tail --pid="$pid" -f /dev/null
}

# $1: the monitor's port.
write_conf() {
	cat >"$dir/ceph.conf" <<-END
		[global]
		fsid = $fsid
		mon_host = [v2:127.0.0.1:$1/0]
		public_addr = 127.0.0.1
		cluster_addr = 127.0.0.1
		auth_cluster_required = none
		auth_service_required = none
		auth_client_required = none
		keyring = $dir/keyring
		run_dir = $dir
		admin_socket =
		crash_dir = $dir
		log_to_stderr = false
		osd_pool_default_size = 1
		osd_pool_default_min_size = 1
		osd_pool_default_pg_autoscale_mode = off
		osd_crush_chooseleaf_type = 0
		mon_allow_pool_size_one = true
		mon_allow_pool_delete = true
		mon_data_avail_crit = 0
		mon_data_avail_warn = 0

		[mon]
		mon_data = $dir/mon
		log_file = $dir/mon.log
		mon_cluster_log_file = $dir/cluster.log
		pid_file = $dir/mon.pid
		mon_osd_down_out_interval = 0
		mon_osd_min_down_reporters = 1

		[osd]
		osd_data = $dir/osd
		log_file = $dir/osd.log
		pid_file = $dir/osd.pid
		osd_objectstore = memstore
		memstore_device_bytes = 1073741824
		osd_max_object_name_len = 256
		osd_max_object_namespace_len = 64
		osd_heartbeat_grace = 60
	END
}

# The port may be somebody else's: then another one.
start_monitor() {
	tries=0
	while :; do
		port=$(awk -v seed="$$$tries" 'BEGIN { srand(seed); print int(20000 + rand() * 12000) }')
		write_conf "$port"
		rm -rf "$dir/mon" "$dir/monmap"
		monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$port/0]" \
			"$dir/monmap" >>"$dir/out" 2>&1
		ceph-mon -c "$dir/ceph.conf" --mkfs -i a --monmap "$dir/monmap" >>"$dir/out" 2>&1 ||
			return 1
		ceph-mon -c "$dir/ceph.conf" -i a >>"$dir/out" 2>&1 && return 0
		tries=$((tries + 1))
		[ $tries -lt 5 ] || return 1
	done
}

start_osd() {
	mkdir -p "$dir/osd"
	ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >>"$dir/out" 2>&1 &&
		ceph-osd -c "$dir/ceph.conf" -i 0 >>"$dir/out" 2>&1
}

# Each of these returns when it is so: a write waits until its placement group is active.
make_pool() {
	in_cluster timeout 60 ceph osd pool create "$pool" 8 >>"$dir/out" 2>&1 &&
		in_cluster timeout 60 rados -p "$pool" put ready /dev/null >>"$dir/out" 2>&1 &&
		in_cluster timeout 60 rados -p "$pool" rm ready >>"$dir/out" 2>&1
}

start() {
	for program in ceph-mon ceph-osd ceph rados monmaptool; do
		command -v $program >/dev/null 2>&1 || skip "there is no $program here"
	done
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	[ ! -e "$dir/ceph.conf" ] || {
		echo "ceph.sh: $dir has a cluster already: ceph.sh stop $dir ends it" >&2
		exit 1
	}
	fsid=$(cat /proc/sys/kernel/random/uuid)
	osd_uuid=$(cat /proc/sys/kernel/random/uuid)
	echo "$osd_uuid" >"$dir/osd-uuid"
	: >"$dir/keyring"
	trap 'stop' EXIT
	trap 'exit 1' INT TERM
	start_monitor || { say_logs; skip "the monitor does not come up"; }
	in_cluster timeout 60 ceph osd new "$osd_uuid" 0 >>"$dir/out" 2>&1 ||
		{ say_logs; skip "the monitor does not answer"; }
	start_osd || { say_logs; skip "the OSD does not come up"; }
	make_pool || { say_logs; skip "the cluster does not take objects"; }
	trap - EXIT INT TERM
	echo "$dir/ceph.conf"
}

stop() {
	end_process osd
	end_process mon
	rm -rf "$dir/mon" "$dir/osd"
	rm -f "$dir/ceph.conf" "$dir/keyring" "$dir/monmap" "$dir/osd-uuid" "$dir"/*.pid \
		"$dir/out" "$dir/mon.log" "$dir/osd.log" "$dir/cluster.log"
	rmdir "$dir" 2>/dev/null || true
}

[ "$verb" = start ] || {
	[ -d "$dir" ] || { echo "ceph.sh: there is no cluster in $dir" >&2; exit 1; }
	dir=$(cd "$dir" && pwd)
}
case $verb in
start) start ;;
stop) stop ;;
pause) process_of osd && kill -STOP "$pid" ;;
resume) process_of osd && kill -CONT "$pid" ;;
down) end_process osd; rm -rf "$dir/osd" ;;
up) osd_uuid=$(cat "$dir/osd-uuid"); start_osd || { say_logs; exit 1; } ;;
*) usage ;;
esac
