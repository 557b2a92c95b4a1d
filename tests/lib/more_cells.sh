# shellcheck shell=bash
# more_cells.sh - cells beside the one of an e2e cluster, each a host of its own as far as layers are
# concerned: source it after lib.sh. The test sets `work`, its directory, PEER_PORT, and more of every
# cell's configuration in CELL_SECTIONS.
#
#   start_cell N ZONE [MORE]   cell-N (2..9); MORE: keys of its configuration
#   stop_cells                 for the test's trap
#   admin_of N                 address of its metrics
#   metric N NAME, metric_is N NAME VALUE    berth_cell_NAME of cell-N (1: the cluster's own)
#   instances_on N COUNT       the controller says so
#   all_answer APP N           so many different instances answer

declare -A cell_pids=()

admin_of() { echo "127.0.0.1:$((E2E_BASE + 20 + $1))"; }

start_cell() {
    local n=$1 zone=$2 first base
    first=$(sed -n 's/^port_first = //p' <<<"$E2E_CELL") base=$(sed -n 's/^id_base = //p' <<<"$E2E_CELL")
    "$E2E_DIR/libexec/berth-controller" --config "$E2E_DIR/etc/controller.ini" "--make-node-key=cell:cell-$n" \
        "--out=$work/cell-$n.key" || return 1
    cat >"$work/cell-$n.ini" <<INI
name = cell-$n
zone = $zone
prefix = ${E2E_NAME}$n
key_file = $work/cell-$n.key
controller = tcp://127.0.0.1:$E2E_BASE
controller_logs = tcp://127.0.0.1:$((E2E_BASE + 1))
state_dir = $work/cell-$n
run_dir = $work/run-$n
admin = $(admin_of "$n")
subnet = $(sed -n 's/^subnet = //p' <<<"$E2E_CELL" | sed "s|[.]0[.]0/20|.$((n * 16)).0/20|")
port_first = $((first + n * 100))
port_count = 100
id_base = $((base + n * 20000000))
max_containers = 20
memory = 1G
peer_address = 127.0.0.1$n
peer_port = $PEER_PORT
${3:-}
[registry docker.io]
mirror = 127.0.0.1:$E2E_REGISTRY
mirror_ca = $E2E_DIR/etc/ca.pem
${CELL_SECTIONS:-}
INI
    "$BERTH_BUILD/cell/berth-cell" --config "$work/cell-$n.ini" >>"$work/cell-$n.log" 2>&1 &
    cell_pids[cell-$n]=$!
    wait_for 10 curl -sf -m 2 -o /dev/null "http://$(admin_of "$n")/healthz"
}

stop_cells() {
    local name
    for name in "${!cell_pids[@]}"; do
        stop_pid "${cell_pids[$name]}"
        "$BERTH_BUILD/cell/berth-cell" --purge --config "$work/$name.ini" >>"$work/$name.log" 2>&1
        [ $checks_failed = 0 ] || { echo "--- the end of $name.log"; tail -25 "$work/$name.log"; }
    done
}

metric() {
    local at
    [ "$1" = 1 ] && at=127.0.0.1:$((E2E_BASE + 3)) || at=$(admin_of "$1")
    curl -sf -m 5 "http://$at/metrics" | sed -n "s/^berth_cell_$2 //p"
}
metric_is() { [ "$(metric "$1" "$2")" = "$3" ]; }
instances_on() {
    curl -sf -m 5 "http://127.0.0.1:$((E2E_BASE + 2))/cells" | grep -q "name=cell-$1 .* instances=$2 "
}
all_answer() {
    local seen
    seen=$(for _ in $(seq 40); do app_get "$1" /env/INSTANCE_INDEX; echo; done | sort -u | grep -c .)
    [ "$seen" = "$2" ]
}
