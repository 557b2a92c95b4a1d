# shellcheck shell=bash
# chaos_faults.sh - what tests/chaos does to a cluster. It sources this after cluster.sh.
#
# begin_FAULT picks whom and for how long, does it, and says so in WHAT; in HOLD it leaves the seconds until it is
# over, in UNDO what ends it. inject FAULT... does several at once.
#
# Requests that overlap a window may fail, or may be slow: what is in flight on what is lost. Each is a line of
# $CLUSTER_DIR/windows, see balanced.py.

NOTICE=17  # s until a silent cell's routes are gone: presence time and a Watch
FLIGHT=1.5 # s around the loss of a router in which requests are in flight, or the balancer has not looked
SILENT=2   # s after the loss of a cell's host until routers have seen that nothing comes back, and avoid it
CELLS=(c1 c2 c3) ROUTERS=(r1 r2)
CONTROLLER=ctl # where it is now

one_of() { PICKED=${@:$((RANDOM % $# + 1)):1}; }
between() { PICKED=$(($1 + RANDOM % ($2 - $1 + 1))); }
now() { date +%s.%N; }
soon() { awk -v t="$(now)" -v s="$1" 'BEGIN { printf "%.3f\n", t + s }'; }

# window SECONDS ROUTER|- KIND...: from half a second ago; KIND: fail, slow
window() {
    local kind
    for kind in "${@:3}"; do echo "$(soon -0.5) $(soon "$1") $2 $kind" >>"$CLUSTER_DIR/windows"; done
}
in_flight() { case $1 in r*) window "$FLIGHT" "$(address_of "$1")" fail slow ;; esac; }

daemon_of() { case $1 in "$CONTROLLER") echo controller ;; r*) echo router ;; c*) echo cell ;; esac; }
signal() { run_on "$1" systemctl kill --kill-who=main --signal="$2" "berth-$(daemon_of "$1")"; }
any_host() { one_of "$CONTROLLER" "${CELLS[@]}" "${ROUTERS[@]}"; }

inject() {
    local fault undo undos=() longest=0
    STEP=
    for fault in "$@"; do
        WHAT='' UNDO='' HOLD=0
        "begin_$fault"
        STEP+="${STEP:+; and }$WHAT" undos=("$UNDO" "${undos[@]}")
        [ "$HOLD" -le "$longest" ] || longest=$HOLD
    done
    sleep "$longest"
    for undo in "${undos[@]}"; do $undo; done
}

# --- daemons and hosts ------------------------------------------------------------------------------------------

begin_kill() {
    any_host
    WHAT="kill -9 on $PICKED"
    in_flight "$PICKED"
    signal "$PICKED" KILL
}
begin_router() {
    one_of "${ROUTERS[@]}"
    WHAT="kill -9 on $PICKED"
    in_flight "$PICKED"
    signal "$PICKED" KILL
}
begin_stop() {
    local host
    any_host
    host=$PICKED
    between 2 20
    HOLD=$PICKED WHAT="SIGSTOP on $host for $HOLD s" UNDO="signal $host CONT"
    in_flight "$host"
    signal "$host" STOP
}
begin_restart() {
    any_host
    WHAT="restart on $PICKED"
    run_on "$PICKED" systemctl restart "berth-$(daemon_of "$PICKED")"
}
begin_power() {
    local host
    one_of "${CELLS[@]}"
    host=$PICKED
    between 1 20
    HOLD=$PICKED WHAT="no power on $host for $HOLD s" UNDO="boot $host"
    window $SILENT - fail
    host_power_off "$host"
}
boot() { host_boot "$1" || violation "$1 does not boot"; }

# --- links --------------------------------------------------------------------------------------------------------

pick_link() {
    one_of "$CONTROLLER c1" "$CONTROLLER c2" "$CONTROLLER c3" "$CONTROLLER r1" "$CONTROLLER r2" \
        "r1 c1" "r1 c2" "r1 c3" "r2 c1" "r2 c2" "r2 c3" "c1 c2" "c2 c3"
    LINK=$PICKED
    UNDO="link_heal $LINK"
}
# What a router sent that way waits, until the router sees that nothing comes back.
link_window() { case $LINK in r*" c"*) window "$1" "$(address_of "${LINK% *}")" "${@:2}" ;; esac; }
# shellcheck disable=SC2086 # two words
begin_cut() {
    pick_link
    between 2 22
    HOLD=$PICKED WHAT="the link $LINK cut for $HOLD s"
    link_window $SILENT fail
    link_cut $LINK
}
# shellcheck disable=SC2086
begin_one_way() {
    pick_link
    between 2 22
    HOLD=$PICKED
    link_window $SILENT fail
    [ $((RANDOM % 2)) = 0 ] || LINK="${LINK#* } ${LINK% *}"
    WHAT="the link $LINK cut one way for $HOLD s"
    link_cut_one_way $LINK
}
# shellcheck disable=SC2086
begin_lossy() {
    pick_link
    between 3 12
    HOLD=$PICKED WHAT="every fifth packet lost on the link $LINK for $HOLD s"
    link_window "$NOTICE" fail slow
    link_lossy $LINK 20
}
# There and back takes 100 ms at least, as a greeting of sshd's shows.
is_late() {
    local since=${EPOCHREALTIME/./}
    run_on "$1" bash -c "exec 3<>/dev/tcp/$(address_of "$2")/22 && read -r -t 10 line <&3" &&
        [ $((${EPOCHREALTIME/./} - since)) -ge 100000 ]
}
# Nothing is lost, so nothing may fail.
# shellcheck disable=SC2086
begin_delay() {
    local most
    pick_link
    between 100 400
    most=$PICKED
    between 3 15
    HOLD=$PICKED WHAT="packets 50 to $most ms late on the link $LINK for $HOLD s"
    link_window $((HOLD + 5)) slow
    one_of 0 10 30
    WHAT+=", $PICKED % out of order"
    link_delay $LINK 50 "$most" "$PICKED" "$RANDOM" 60
    is_late $LINK || violation "packets are not late"
}

# --- clocks ----------------------------------------------------------------------------------------------------------

# What the daemon of a host says the time is, as seconds ahead of ours.
clock_of() {
    local port date
    case $(daemon_of "$1") in controller) port=7402 ;; cell) port=7403 ;; router) port=7404 ;; esac
    date=$(run_on "$1" curl -sI -m 5 "http://127.0.0.1:$port/healthz" | tr -d '\r' | sed -n 's/^[Dd]ate: //p')
    [ -n "$date" ] && echo $(($(date -d "$date" +%s) - $(date +%s)))
}
clock_is() {
    local ahead
    ahead=$(clock_of "$1") && [ $((ahead - $2)) -ge -3 ] && [ $((ahead - $2)) -le 3 ]
}
set_clock() {
    host_clock "$1" "$2"
    wait_for 20 clock_is "$1" "$2" || violation "the clock of $1 is $(clock_of "$1") s ahead, not $2"
}
begin_clock() {
    local host ahead
    any_host
    host=$PICKED
    between 3600 43200
    ahead=+$PICKED
    [ $((RANDOM % 2)) = 0 ] || ahead=-$PICKED
    between 2 10
    HOLD=$PICKED WHAT="the clock of $host $ahead s for $HOLD s" UNDO="set_clock $host +0"
    set_clock "$host" "$ahead"
    scale_something
    [ -z "$UNSURE" ] || violation "the API does not work"
}

# --- what the cluster leans on -------------------------------------------------------------------------------------

begin_disk() {
    local host
    one_of "$CONTROLLER" "${CELLS[@]}"
    host=$PICKED
    between 3 12
    HOLD=$PICKED WHAT="the disk of $host full for $HOLD s" UNDO="run_on $host rm -f /var/full"
    # shellcheck disable=SC2016
    run_on "$host" bash -c 'fallocate -l "$(df -B1 --output=avail /var | tail -n1)" /var/full || dd if=/dev/zero of=/var/full bs=1M' >/dev/null 2>&1
    [ "$(run_on "$host" df --output=avail /var | tail -n1)" -lt 1024 ] || violation "the disk of $host is not full"
    scale_something
}
begin_registry() {
    between 2 10
    HOLD=$PICKED WHAT="no registry for $HOLD s" UNDO=registry_again
    stop_pid "$REGISTRY_PID"
    scale_something
}
registry_again() {
    REGISTRY_ADDRESS=$CLUSTER_NETWORK.1 start_registry "$CLUSTER_DIR/registry" "$REGISTRY_PORT" >/dev/null
}

# --- the controller's host is lost: another one takes its place, from a backup ---------------------------------------

begin_restore() {
    local lost=$CONTROLLER number
    rm -f "$CLUSTER_DIR/backup.tar"
    cluster backup "$CLUSTER_DIR/backup.tar" >/dev/null || violation "no backup"
    # The one thing that may be lost is what was acknowledged after the backup.
    berth scale two -i $((DESIRED[two] + 1)) >/dev/null
    UNSURE=1
    host_power_off "$lost"
    case $lost in ctl) CONTROLLER=spare number=$SPARE ;; *) CONTROLLER=ctl number=11 ;; esac
    WHAT="the controller's host $lost lost for ever, its work for $CONTROLLER"
    if [ -e "$HOSTS_DIR/$CONTROLLER/number" ]; then
        host_boot "$CONTROLLER"
    else
        host_add "$CONTROLLER" "$number" 1024 && host_wears_clock "$CONTROLLER"
    fi || violation "$CONTROLLER does not boot"
    sed -i "s/^$lost .*/$CONTROLLER $CLUSTER_NETWORK.$number controller z1/" "$OPERATOR/inventory"
    if cluster --force restore "$CLUSTER_DIR/backup.tar" >"$CLUSTER_DIR/restore" 2>&1; then
        log_in "$CLUSTER_DIR/restore" >/dev/null || violation "no log-in after the restore"
    else
        violation "no restore: $(tail -n5 "$CLUSTER_DIR/restore")"
    fi
}

# --- users ------------------------------------------------------------------------------------------------------------

begin_scale() {
    WHAT="scale"
    scale_something
}
# What is acknowledged is what must be; of what was refused or not answered either may be true.
UNSURE=
scale_something() {
    between 2 5
    if timeout 20 "$CLI" scale two -i "$PICKED" >"$CLUSTER_DIR/scale" 2>&1; then
        DESIRED[two]=$PICKED UNSURE=
        WHAT+="; two is to have $PICKED"
    else
        UNSURE=1
        WHAT+="; two was not scaled: $(tail -n1 "$CLUSTER_DIR/scale" | cut -c1-80)"
    fi
}
be_sure() {
    [ -n "$UNSURE" ] || return 0
    berth curl "/v3/processes/${GUID[two]}" >"$CLUSTER_DIR/process" || return 1
    DESIRED[two]=$(jq -r .instances "$CLUSTER_DIR/process") && [[ ${DESIRED[two]} =~ ^[0-9]+$ ]] && UNSURE=
}
