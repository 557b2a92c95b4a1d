# shellcheck shell=bash
# debian.sh - a clean Debian 12 of the test's own, to install in and to boot: source it.
#
#   debian_make DIR         a minimal one in memory, mounted at DIR, with this machine's Debian sources
#   debian_in DIR COMMAND...      runs it in there, as root, without services
#   debian_boot DIR         starts its systemd in namespaces of its own, with a network of its own that has loopback
#                           alone; DEBIAN_INIT is that systemd's pid
#   debian_booted COMMAND...      runs it beside that systemd
#   debian_end DIR          stops it and removes all; for the test's trap

DEBIAN_INIT="" DEBIAN_STARTER="" DEBIAN_CGROUP=bdebian$$

# Lines for a sources.list: what this machine has of Debian itself.
debian_sources() {
    # shellcheck disable=SC2016 # apt's words
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' | sort -u
}

debian_make() {
    local dir=$1 mirror release
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(debian_sources | awk -v release="$release" '$3 == release && $4 == "main" { print $2; exit }')
    [ -n "$mirror" ] || { echo "apt knows no mirror of $release"; return 1; }
    mkdir -p "$dir" && mount -t tmpfs -o size=2g,mode=755 bdebian "$dir" || return
    debootstrap --variant=minbase "$release" "$dir" "$mirror" >"$dir.log" 2>&1 || { tail -5 "$dir.log"; return 1; }
    debian_sources >"$dir/etc/apt/sources.list"
    cp /etc/resolv.conf /etc/hosts "$dir/etc/"
    echo force-unsafe-io >"$dir/etc/dpkg/dpkg.cfg.d/in-memory"
}

debian_in() {
    local dir=$1
    shift
    unshare --mount --fork bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$dir" \
        env -i "http_proxy=${http_proxy:-}" "https_proxy=${https_proxy:-}" DEBIAN_FRONTEND=noninteractive \
        LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

# The host's cgroup hierarchies as "MOUNT-POINT TYPE OPTIONS", but for cpuset, which takes setting up.
debian_hierarchies() {
    awk '$9 ~ /^cgroup2?$/ || $8 ~ /^cgroup2?$/ {
        for (i = 7; $i != "-"; i++); type = $(i + 1); n = split($(i + 3), words, ","); options = ""
        for (j = 1; j <= n; j++) if (words[j] !~ /^(rw|ro|nsdelegate|memory_recursiveprot)$/) options = options "," words[j]
        if (options !~ /cpuset/) print $5, type, substr(options, 2) }' /proc/self/mountinfo
}

# In the new namespaces: what a service manager expects to find, then it.
debian_inside() {
    local dir=$1 list=$2 point type options name
    mount --make-rprivate / && mount --rbind "$dir" "$dir" && cd "$dir" || return
    mount -t proc proc proc && mount -t sysfs -o ro sysfs sys || return
    if grep -q ' cgroup ' "$list"; then
        mount -t tmpfs -o mode=755 cgroups sys/fs/cgroup
    fi
    while read -r point type options; do
        mkdir -p ".$point" && mount -t "$type" ${options:+-o "$options"} "$type" ".$point" || return
    done <"$list"
    mount -t tmpfs -o mode=755 dev dev && mkdir dev/pts dev/shm && mount -t tmpfs -o mode=755 run run || return
    mount -t tmpfs -o mode=1777 shm dev/shm && mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts || return
    for name in null zero full random urandom tty; do touch "dev/$name" && mount --bind "/dev/$name" "dev/$name"; done
    ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd && ln -s fd/0 dev/stdin && ln -s fd/1 dev/stdout && ln -s fd/2 dev/stderr
    mknod -m 600 dev/loop-control c 10 237
    for name in $(seq 0 63); do mknod -m 600 "dev/loop$name" b 7 "$name"; done
    ip link set lo up && sysctl -qw net.ipv4.ip_forward=1
    mkdir -p .host && pivot_root . .host || return
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    umount -l .host && rmdir .host || return
    exec env -i container=berth-test PATH=$PATH /lib/systemd/systemd --log-target=console --show-status=no \
        --unit=multi-user.target
}

debian_boot() {
    local dir=$1 point
    debian_hierarchies >"$dir.cgroups"
    (
        while read -r point _; do
            mkdir "$point/$DEBIAN_CGROUP" && echo "$BASHPID" >"$point/$DEBIAN_CGROUP/cgroup.procs" || exit
        done <"$dir.cgroups"
        exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child=SIGKILL \
            bash -c "$(declare -f debian_inside); debian_inside \"\$@\"" - "$dir" "$dir.cgroups"
    ) >"$dir.console" 2>&1 </dev/null &
    DEBIAN_STARTER=$!
    local end=$((SECONDS + 30))
    until DEBIAN_INIT=$(pgrep -P "$DEBIAN_STARTER") && debian_booted systemctl is-system-running --wait 2>/dev/null |
        grep -qE 'running|degraded'; do
        [ $SECONDS -lt $end ] && kill -0 "$DEBIAN_STARTER" 2>/dev/null || { cat "$dir.console"; return 1; }
        sleep 0.05
    done
}

debian_booted() {
    nsenter -t "$DEBIAN_INIT" --all env -i container=berth-test LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

# The dead leave their groups a moment later.
debian_forget_cgroup() {
    local end=$((SECONDS + 10))
    until [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null && [ ! -d "$1" ]; do
        [ $SECONDS -lt $end ] || { echo "$1 is not empty"; return; }
        sleep 0.05
    done
}

debian_end() {
    local dir=$1 point
    if [ -n "$DEBIAN_STARTER" ]; then
        [ -z "$DEBIAN_INIT" ] || kill -KILL "$DEBIAN_INIT" 2>/dev/null # the end of pid 1 is the end of all
        kill -KILL "$DEBIAN_STARTER" 2>/dev/null
        wait "$DEBIAN_STARTER" 2>/dev/null
        while read -r point _; do
            debian_forget_cgroup "$point/$DEBIAN_CGROUP"
        done <"$dir.cgroups"
    fi
    ! mountpoint -q "$dir" || umount "$dir" || umount -l "$dir"
    rm -rf --one-file-system "$dir" "$dir.log" "$dir.console" "$dir.cgroups"
}
