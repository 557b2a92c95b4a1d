# shellcheck shell=bash
# hosts.sh - many hosts on this machine, for tests: source it. As root.
#
#   hosts_begin DIR PREFIX NETWORK   DIR: of the test's own, on a real file system; PREFIX (at most 4
#                                    characters) begins the names of interfaces, namespaces and cgroups;
#                                    NETWORK: "10.98.0", a /24 whose .1 is this machine. Takes away what an
#                                    interrupted test left under the same names
#   host_add NAME NUMBER [MB]        a host at NETWORK.NUMBER, booted; MB: the size of its /var [2048]
#   host_run NAME COMMAND...         as root in it
#   host_pid NAME                    its init's pid out here
#   host_power_off NAME              all its processes are gone at once; its disk stays
#   host_boot NAME                   again
#   host_is_up NAME                  its sshd answers
#   link_cut A B, link_heal A B      A and B do not hear each other; they do again
#   link_cut_one_way FROM TO         TO does not hear FROM (link_heal FROM TO ends that too)
#   link_lossy A B PERCENT           that many packets of each direction are lost
#   link_delay A B MIN MAX PERCENT SEED SECONDS
#                                    packets of each direction come MIN to MAX ms later, PERCENT of them out of
#                                    order; until link_heal, but at most SECONDS
#   host_wears_clock NAME            the units of Berth there have a wall clock of their own, once they start again
#   host_clock NAME OFFSET           which is now OFFSET seconds ahead ("-3600": behind); within two seconds
#   hosts_end                        ends and removes everything; may be run again
#
# A host is a network, mount, pid, uts, ipc and cgroup namespace. This machine's /usr, /etc and dpkg's and apt's
# state lie under it as overlays, so that it may install packages of its own; /var is a disk of its own;
# /root, /home, /tmp and /run are empty. It has sshd, where the key DIR/ssh_key logs in as root and as "op",
# who may sudo. Its init is systemd, with sshd, the journal and what the test installs.

HOSTS_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

hosts_begin() {
    HOSTS_DIR=$1 HOSTS_PREFIX=$2 HOSTS_NETWORK=$3
    hosts_end
    mkdir -p "$HOSTS_DIR" && chmod 0711 "$HOSTS_DIR" || return 1
    ssh-keygen -q -t ed25519 -N '' -C "$HOSTS_PREFIX" -f "$HOSTS_DIR/ssh_key" </dev/null &&
        ip link add "$HOSTS_PREFIX-br" type bridge &&
        ip addr add "$HOSTS_NETWORK.1/24" dev "$HOSTS_PREFIX-br" &&
        ip link set "$HOSTS_PREFIX-br" up
}

# Every hierarchy of cgroup v1 and v2 that is mounted here.
host_cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts; }

host_pid() { cat "$HOSTS_DIR/$1/init.pid" 2>/dev/null; }

# The init of NAME, if that pid is still it.
host_lives() {
    local pid
    pid=$(host_pid "$1") && [ "$(cat "/proc/$pid/cgroup" 2>/dev/null | grep -cE "/$HOSTS_PREFIX-$1(/|$)")" -gt 0 ]
}

host_run() {
    local pid
    pid=$(host_pid "$1") || return 1
    shift
    nsenter -t "$pid" -m -u -i -n -p -C -r -w env -i PATH=/usr/sbin:/usr/bin HOME=/root "$@"
}

host_add() {
    local name=$1 number=$2 mb=${3:-2048} dir=$HOSTS_DIR/$1
    mkdir -p "$dir/root" "$dir/etc/upper" "$dir/etc/work" "$dir/usr/upper" "$dir/usr/work" || return 1
    echo "$number" >"$dir/number"
    truncate -s "${mb}M" "$dir/var.img" &&
        mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$dir/var.img" || return 1
    host_boot "$name"
}

host_boot() {
    local name=$1 dir=$HOSTS_DIR/$1 ns=$HOSTS_PREFIX-$1 number mount
    number=$(cat "$dir/number") || return 1
    ip netns add "$ns" &&
        ip link add "$ns" type veth peer name eth0 netns "$ns" &&
        ip link set "$ns" master "$HOSTS_PREFIX-br" up &&
        ip -n "$ns" link set lo up &&
        ip -n "$ns" addr add "$HOSTS_NETWORK.$number/24" dev eth0 &&
        ip -n "$ns" link set eth0 up &&
        ip -n "$ns" route add default via "$HOSTS_NETWORK.1" || return 1
    rm -f "$dir/init.pid"
    for mount in $(host_cgroup_mounts); do
        mkdir -p "$mount/$ns"
        [ ! -e "$mount/$ns/cpuset.cpus" ] ||
            { cat "$mount/cpuset.cpus" >"$mount/$ns/cpuset.cpus" && cat "$mount/cpuset.mems" >"$mount/$ns/cpuset.mems"; }
    done
    setsid bash "$HOSTS_LIB/host_init" "$dir" "$ns" "$name" "$HOSTS_DIR/ssh_key.pub" \
        </dev/null >>"$dir/console" 2>&1 9>&- &
    disown
    local end=$((SECONDS + 20))
    until host_is_up "$name"; do
        [ $SECONDS -lt $end ] || { tail -20 "$dir/console"; return 1; }
        sleep 0.05
    done
}

host_is_up() {
    host_pid "$1" >/dev/null &&
        (exec 3<>"/dev/tcp/$HOSTS_NETWORK.$(cat "$HOSTS_DIR/$1/number")/22" && read -r -t 2 line <&3 && [[ $line == SSH-* ]]) 2>/dev/null
}

# By its cgroup: whatever namespace a process has fled to.
host_power_off() {
    local ns=$HOSTS_PREFIX-$1 pid mount try
    pid=$(host_pid "$1")
    ip link del "$ns" 2>/dev/null # first: nobody is told that its connections end
    ! host_lives "$1" || kill -KILL "$pid" 2>/dev/null
    for try in $(seq 100); do
        local left=
        for mount in $(host_cgroup_mounts); do
            [ -d "$mount/$ns" ] || continue
            while read -r pid; do
                left=1
                kill -KILL "$pid" 2>/dev/null
            done < <(find "$mount/$ns" -name cgroup.procs -exec cat {} + 2>/dev/null)
        done
        [ -n "$left" ] || break
        sleep 0.05
    done
    for mount in $(host_cgroup_mounts); do
        [ ! -d "$mount/$ns" ] || find "$mount/$ns" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    rm -f "$HOSTS_DIR/$1/init.pid"
    host_undelay_all "$1" # it would hold on to the network namespace
    ip netns del "$ns" 2>/dev/null
    # /var's loop device goes with the last mount namespace that has it mounted.
    for try in $(seq 100); do
        [ -n "$(losetup -j "$HOSTS_DIR/$1/var.img" 2>/dev/null)" ] || break
        sleep 0.05
    done
    return 0
}

hosts_names() {
    local path
    for path in "$HOSTS_DIR"/*/number; do
        [ -e "$path" ] && basename "$(dirname "$path")"
    done
}

hosts_end() {
    local name
    for name in $(hosts_names); do host_power_off "$name"; done
    ip link del "$HOSTS_PREFIX-br" 2>/dev/null
    rm -rf --one-file-system "$HOSTS_DIR"
    return 0
}

# --- links: rules in the hosts' own network namespaces -----------------------------------------------------

# host_drop HOST FROM [PERCENT]: HOST loses what comes from the host FROM.
host_drop() {
    local from=$HOSTS_NETWORK.$(cat "$HOSTS_DIR/$2/number") chance=
    [ -z "${3:-}" ] || chance="numgen random mod 100 < $3"
    ip netns exec "$HOSTS_PREFIX-$1" nft -f - <<NFT
add table ip testlinks
add chain ip testlinks input { type filter hook prerouting priority -400; policy accept; }
add rule ip testlinks input ip saddr $from $chance drop
NFT
}

link_cut_one_way() { host_drop "$2" "$1"; }
link_cut() { host_drop "$1" "$2" && host_drop "$2" "$1"; }
link_lossy() { host_drop "$1" "$2" "$3" && host_drop "$2" "$1" "$3"; }

# With netem where the kernel has it; else a queue holds packets, and packet_delay what is in the queue.
link_delay() { host_delay "$1" "$2" "${@:3}" && host_delay "$2" "$1" "${@:3}"; }
# host_delay HOST TO MIN MAX PERCENT SEED SECONDS: on the way out.
host_delay() {
    local ns=$HOSTS_PREFIX-$1 number dir=$HOSTS_DIR/$1
    number=$(cat "$HOSTS_DIR/$2/number")
    if host_netem "$ns" "$HOSTS_NETWORK.$number" "$3" "$4" "$5"; then return 0; fi
    : >"$dir/delay-$2"
    ip netns exec "$ns" "$BERTH_BUILD/tests/lib/packet_delay" "$number" "$3" "$4" "$5" "$(($6 + number))" "$7" \
        </dev/null >"$dir/delay-$2" 2>&1 9>&- &
    echo $! >"$dir/delay-$2.pid"
    disown
    local end=$((SECONDS + 5))
    until grep -q ready "$dir/delay-$2"; do
        [ $SECONDS -lt $end ] || { cat "$dir/delay-$2"; return 1; }
        sleep 0.05
    done
    # After routing and for what is forwarded too: a container's answers. nftables' own "queue" is rarer in kernels.
    ip netns exec "$ns" iptables-legacy -w -t mangle -A POSTROUTING -d "$HOSTS_NETWORK.$number" \
        -j NFQUEUE --queue-num "$number" --queue-bypass
}
# host_netem NETNS ADDRESS MIN MAX PERCENT
host_netem() {
    local middle=$((($3 + $4) / 2)) around=$((($4 - $3) / 2))
    {
        ip netns exec "$1" tc qdisc replace dev eth0 root handle 1: prio bands 4 &&
            ip netns exec "$1" tc qdisc replace dev eth0 parent 1:4 handle 40: \
                netem delay "${middle}ms" "${around}ms" reorder "$5%" &&
            ip netns exec "$1" tc filter add dev eth0 parent 1: protocol ip u32 match ip dst "$2" flowid 1:4
    } 2>/dev/null
}
host_undelay() {
    local ns=$HOSTS_PREFIX-$1 number pid file=$HOSTS_DIR/$1/delay-$2.pid
    ip netns exec "$ns" tc qdisc del dev eth0 root 2>/dev/null
    [ -e "$file" ] || return 0
    number=$(cat "$HOSTS_DIR/$2/number")
    ip netns exec "$ns" iptables-legacy -w -t mangle -D POSTROUTING -d "$HOSTS_NETWORK.$number" \
        -j NFQUEUE --queue-num "$number" --queue-bypass 2>/dev/null
    pid=$(cat "$file")
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != packet_delay ] || kill "$pid"
    rm -f "$file"
}

# What is cut between A and B only; rules name the peer, so others stay.
link_heal() {
    host_undrop "$1" "$2"
    host_undrop "$2" "$1"
    host_undelay "$1" "$2"
    host_undelay "$2" "$1"
}
host_undrop() {
    local ns=$HOSTS_PREFIX-$1 from=$HOSTS_NETWORK.$(cat "$HOSTS_DIR/$2/number") handle
    ip netns exec "$ns" nft -a list table ip testlinks 2>/dev/null | grep "ip saddr $from " |
        sed 's/.*# handle //' | while read -r handle; do
        ip netns exec "$ns" nft delete rule ip testlinks input handle "$handle"
    done
}

links_heal() {
    local name
    for name in $(hosts_names); do
        ip netns exec "$HOSTS_PREFIX-$name" nft delete table ip testlinks 2>/dev/null
        host_undelay_all "$name"
    done
    return 0
}
host_undelay_all() {
    local file
    for file in "$HOSTS_DIR/$1"/delay-*.pid; do
        [ ! -e "$file" ] || { file=${file##*/delay-} && host_undelay "$1" "${file%.pid}"; }
    done
}

# --- clocks: a kernel has one; libfaketime lies to the programs that wear it -----------------------------------

HOST_CLOCK=/etc/test-clock # readable in every sandbox
host_wears_clock() {
    local library role file
    library=$(find /usr/lib -name libfaketimeMT.so.1 | head -n1)
    [ -n "$library" ] && host_clock "$1" +0 || return 1
    for role in controller cell router; do
        file=/etc/systemd/system/berth-$role.service.d/test-clock.conf
        host_run "$1" mkdir -p "${file%/*}" &&
            printf '%s\n' "[Service]" "Environment=LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=$HOST_CLOCK" \
                "Environment=FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1" |
            host_run "$1" dd status=none "of=$file" || return 1
    done
    host_run "$1" systemctl daemon-reload
}
# Never a file that is half written.
host_clock() { host_run "$1" sh -c "echo '$2' >$HOST_CLOCK.new && mv $HOST_CLOCK.new $HOST_CLOCK"; }
