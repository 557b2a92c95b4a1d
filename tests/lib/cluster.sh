# shellcheck shell=bash
# cluster.sh - a cluster of several hosts for tests, set up by deploy/cluster over ssh: source it after
# tests/e2e/lib.sh, whose check, wait_for and make_image it uses, and set CLUSTER_DIR, CLUSTER_PREFIX and
# CLUSTER_NETWORK, all of the test's own (see hosts.sh).
#
#   many_begin LINE...      hosts and a registry; a LINE is "NAME NUMBER ROLES ZONE", as in the inventory
#   many_end                all of it away; for the test's trap
#   cluster ...             deploy/cluster with the test's inventory
#   package_build           PACKAGE
#   package_other FILE      the same as another version, FILE
#   log_in                  the client, as admin; then berth ... works
#   push NAME INSTANCES     the sample app, which says its name
#   traffic NAME RECORD     balanced traffic to it by all routers, until traffic_end
#   instances APP           "CELL INDEX CONTAINER-ID" of instances whose processes live, as hosts see it
#   address_of NAME
#
# The sample image is "apps/sample" in the registry REGISTRY, which hosts know as docker.io's mirror.

CLUSTER_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$CLUSTER_LIB/hosts.sh"

OPERATOR=$CLUSTER_DIR/operator # what deploy/cluster keeps
CLUSTER_DOMAIN=apps.test
HTTP=8080 HTTPS=8443 HEALTH=7406

address_of() { echo "$CLUSTER_NETWORK.$(cat "$HOSTS_DIR/$1/number")"; }
cluster() { "$ROOT/deploy/cluster" --dir "$OPERATOR" "$@"; }
run_on() { host_run "$@"; }

package_build() {
    PACKAGE=$("$ROOT/deploy/package" --out "$CLUSTER_DIR/packages" 2>"$CLUSTER_DIR/package.log" | tail -n1)
    [ -e "$PACKAGE" ] || { tail -20 "$CLUSTER_DIR/package.log"; return 1; }
}

# Bytes behind a program change nothing but its sum.
package_other() {
    local tree=$CLUSTER_DIR/repack program
    rm -rf "$tree" && dpkg-deb -R "$PACKAGE" "$tree" || return 1
    sed -i 's/^Version: .*/&.other/' "$tree/DEBIAN/control"
    for program in "$tree"/usr/sbin/berth-*; do echo "another build" >>"$program"; done
    rm -f "$tree/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$1" >/dev/null && rm -rf "$tree"
}

registry_begin() {
    local dir=$CLUSTER_DIR/registry layout=$CLUSTER_DIR/layout
    REGISTRY=$CLUSTER_NETWORK.1:$REGISTRY_PORT
    mkdir -p "$dir" && make_ca "$dir" && make_cert "$dir" registry IP:127.0.0.1 "IP:$CLUSTER_NETWORK.1" &&
        REGISTRY_ADDRESS=$CLUSTER_NETWORK.1 start_registry "$dir" "$REGISTRY_PORT" &&
        "$ROOT/deploy/sample/make-image" "$BERTH_BUILD/deploy/lattice-app" "$layout" latest &&
        push_image "$dir" "$layout" latest "$REGISTRY/apps/sample:latest"
}

many_begin() {
    local line name number roles zone pids=() pid
    : "${REGISTRY_PORT:=5000}"
    hosts_begin "$CLUSTER_DIR" "$CLUSTER_PREFIX" "$CLUSTER_NETWORK" || return 1
    mkdir -p "$CLUSTER_DIR/packages"
    for line in "$@"; do
        read -r name number roles zone <<<"$line"
        host_add "$name" "$number" "${HOST_DISK_MB:-1536}" >"$CLUSTER_DIR/boot-$name" 2>&1 &
        pids+=($!)
    done
    registry_begin || return 1
    for pid in "${pids[@]}"; do wait "$pid" || { cat "$CLUSTER_DIR"/boot-*; return 1; }; done
    cluster init "$CLUSTER_DOMAIN" >/dev/null || return 1
    {
        cat <<INI
domain = $CLUSTER_DOMAIN
http_port = $HTTP
https_port = $HTTPS
org = berth
space = dev
drain_wait = 1
drain_timeout = 60
ssh_key = $CLUSTER_DIR/ssh_key
[hosts]
INI
        for line in "$@"; do
            read -r name number roles zone <<<"$line"
            echo "$name $CLUSTER_NETWORK.$number $roles $zone"
        done
    } >"$OPERATOR/inventory"
    cp "$CLUSTER_DIR/registry/ca.pem" "$OPERATOR/local/files/registry-ca.pem"
    printf '[registry docker.io]\nmirror = %s\nmirror_ca = /etc/berth/local/registry-ca.pem\n' "$REGISTRY" |
        tee "$OPERATOR/local/controller.ini" >"$OPERATOR/local/cell.ini"
    # Users of containers are this machine's: hosts must not share their limits.
    for line in "$@"; do
        read -r name number roles zone <<<"$line"
        printf 'id_base = %d\nmax_containers = 60\nmemory = 3G\ndisk = 1G\n%s\n' $((600000000 + number * 4000000)) \
            "$(cat "$OPERATOR/local/cell.ini")" >"$OPERATOR/local/$name.cell.ini"
    done
    rm "$OPERATOR/local/cell.ini"
}

many_end() {
    local result=$? name
    traffic_end
    if [ "$checks_failed" != 0 ] || [ $result != 0 ]; then
        for name in $(hosts_names); do
            echo "--- the end of $name's journal"
            run_on "$name" journalctl --no-pager -q -o cat -n 25 -u 'berth-*' 2>/dev/null | cut -c1-300
        done
        cluster status 2>&1
    fi
    stop_pid "${REGISTRY_PID:-}"
    hosts_end
    return $result
}

log_in() {
    CLI=$BERTH_BUILD/controller/client/berth
    export BERTH_HOME=$CLUSTER_DIR/home
    mkdir -p "$BERTH_HOME"
    API=$(sed -n 's/^api=//p' "$1") CA=$OPERATOR/keys/ca.pem
    CF_PASSWORD=$(cat "$OPERATOR/keys/admin-password") berth login -a "$API" --ca-cert "$CA" -u admin -o berth -s dev
}

push() {
    berth push "$1" -o apps/sample -m 32M -k 32M -i "$2" --no-start && berth set-env "$1" APP_NAME "$1" && berth start "$1"
}

traffic_routers() {
    local name
    for name in $(sed '1,/^\[hosts\]/d' "$OPERATOR/inventory" | awk '$3 ~ /router/ { print $1 }'); do
        echo "$(address_of "$name"):$HTTP:$HEALTH"
    done
}
traffic_pids=()
traffic() {
    # shellcheck disable=SC2046
    python3 "$CLUSTER_LIB/balanced.py" run "$1.$CLUSTER_DOMAIN" "Hello from $1," "$2" $(traffic_routers) </dev/null &
    traffic_pids+=($!)
}
traffic_end() {
    [ ${#traffic_pids[@]} = 0 ] || { kill "${traffic_pids[@]}" && wait "${traffic_pids[@]}"; }
    traffic_pids=()
}

# Cells by their cgroups: names of hosts.
instances() {
    local app name
    app=$(berth app "$1" --guid) || return 1
    for name in $(hosts_names); do
        python3 "$CLUSTER_LIB/containers.py" list "$CLUSTER_PREFIX-$name/berth" | awk -v c="$name" -v a="$app" '$2 == a { print c, $3, $1 }'
    done
}
instance_count_is() { [ "$(instances "$1" | wc -l)" = "$2" ]; }
running() { berth app "$1" | grep -q "^instances: *$2/"; }
