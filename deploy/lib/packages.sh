# shellcheck shell=bash
# packages.sh - which Debian packages Berth needs, and how they get there. Source it.

# To run the three daemons and the client.
RUNTIME_PACKAGES=(ca-certificates conmon crun e2fsprogs nftables openssl procps runc libarchive13
    libcurl4 libevent-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libinih1 libisal2
    libjansson4 libnanomsg5 libnftables1 libnl-route-3-200 libprotobuf-c1 libsqlite3-0 libssl3
    libsystemd0 libyaml-0-2 libzstd1)
# To build them.
BUILD_PACKAGES=(gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler check libarchive-dev
    libcurl4-openssl-dev libevent-dev libinih-dev libisal-dev libjansson-dev libnanomsg-dev
    libnftables-dev libnl-route-3-dev libprotobuf-c-dev libsqlite3-dev libssl-dev libsystemd-dev
    libyaml-dev libzstd-dev uthash-dev)
# To make a package of them.
PACKAGING_PACKAGES=(binutils dpkg-dev xz-utils)
# For the quickstart's registry and its look at the app.
QUICKSTART_PACKAGES=(curl docker-registry skopeo)
# For the tests beside these.
TEST_PACKAGES=(busybox-static clang-14 clang-format-14 dbus debootstrap iproute2 iptables jq libclang-rt-14-dev
    libfaketime libnetfilter-queue-dev openssh-client openssh-server openssl procps prometheus python3
    sqlite3 sudo systemd umoci util-linux zstd)
# For the benchmarks' peers.
BENCH_PACKAGES=(haproxy iptables netavark nginx-light podman wrk)

# Prints those of the given packages that are not installed.
packages_missing() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

# Installs what is missing of the given packages; services that they bring are not started.
packages_install() {
    local missing policy=
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    local result=0
    { apt-get -qq update || true; } &&
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
            "${missing[@]}" </dev/null || result=$?
    [ -z "$policy" ] || rm -f $policy
    return $result
}
