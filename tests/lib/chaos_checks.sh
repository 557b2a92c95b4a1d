# shellcheck shell=bash
# chaos_checks.sh - what must be true of a cluster after each fault; tests/chaos sources it. Uses DESIRED and GUID
# (by app), and ROUTERS and CELLS of chaos_faults.sh.
#
#   before_step, look_after     around a fault; violations are told by violation()
#   look_at_the_end             what must be true when all is over

SETTLE=60 # s after a fault is over until all must be as desired
SECOND=15 # s that a second instance of the same index may live: until its cell is heard again, and it has stopped
SLOW=3    # s that a request may take
ASKED=40  # requests until every instance must have answered once

# --- what runs, by processes ------------------------------------------------------------------------------------

# "CELL ID APP INDEX" of each instance.
look() {
    local name
    for name in $(hosts_names); do
        python3 "$CLUSTER_LIB/containers.py" list "$CLUSTER_PREFIX-$name/berth" | awk -v c="$name" '{ print c, $1, $2, $3 }'
    done
}
wanted() {
    local app i
    for app in one two; do
        for ((i = 0; i < DESIRED[$app]; i++)); do echo "${GUID[$app]} $i"; done
    done | sort
}
runs() { diff <(wanted) <(look | cut -d' ' -f3,4 | sort); }

# All the while: "time + id app version index" and "time - id".
watch_begin() {
    local name names=()
    for name in "${CELLS[@]}"; do names+=("$CLUSTER_PREFIX-$name/berth"); done
    mkfifo "$CLUSTER_DIR/watch"
    python3 "$CLUSTER_LIB/containers.py" watch "$(IFS=, && echo "${names[*]}")" "$CLUSTER_DIR/lives" 0.25 \
        <>"$CLUSTER_DIR/watch" &
    WATCH=$!
}
watch_end() {
    [ -z "${WATCH:-}" ] || { kill "$WATCH" && wait "$WATCH"; }
    WATCH=
}

# --- what users see -----------------------------------------------------------------------------------------------

# By every router every instance answers, as itself, and nothing else does.
answers() {
    local router app urls
    for router in "${ROUTERS[@]}"; do
        mapfile -t urls < <(yes "http://$(address_of "$router"):$HTTP/" | head -n $ASKED)
        for app in one two; do
            curl -s -m 10 -H "Host: $app.$CLUSTER_DOMAIN" "${urls[@]}" | sort -u | sed "s/^/$router /"
            [ "${PIPESTATUS[0]}" = 0 ] || echo "$router $app: no answer"
        done
    done
}
routed() {
    local expected router app i
    expected=$(for router in "${ROUTERS[@]}"; do
        for app in one two; do
            for ((i = 0; i < DESIRED[$app]; i++)); do echo "$router Hello from $app, instance $i, on port 8080."; done
        done
    done)
    diff <(sort <<<"$expected") <(answers | sort)
}
told() {
    local app
    for app in one two; do running "$app" "${DESIRED[$app]}" || { berth app "$app"; return 1; }; done
}

# --- why: each instance that is another one now has an event that names the one before, and a reason -------------------

# "GUID APP INSTANCE INDEX REASON", the newest first.
events() {
    berth curl "/v3/audit_events?target_guids=${GUID[one]},${GUID[two]}&order_by=-created_at&per_page=5000" |
        jq -r '.resources[] | "\(.guid) \(.target.guid) \(.data.instance // "-") \(.data.index // "-") " +
            (.data | if .instance then .exit_description // .reason else "-" end)'
}
# An instance may be on its way to another cell when a step begins, and that was said already: what is new is so since
# the step before.
before_step() {
    mv "$CLUSTER_DIR/events-before" "$CLUSTER_DIR/events-earlier" 2>/dev/null
    events >"$CLUSTER_DIR/events-before"
    [ -e "$CLUSTER_DIR/events-earlier" ] || cp "$CLUSTER_DIR"/events-{before,earlier}
    look | sort >"$CLUSTER_DIR/look-before"
    step_begin=$(now)
}
# "APP INDEX ID CELL" of those before that were replaced since.
replaced() {
    look | awk 'NR == FNR { cell[$3 " " $4] = $1; id[$3 " " $4] = $2; next }
        { key = $3 " " $4 } key in id && id[key] != $2 { print key, id[key], cell[key] }' "$CLUSTER_DIR/look-before" -
}
said_in_log() { run_on "$CONTROLLER" journalctl -q -o cat -u berth-controller --since "@${step_begin%.*}" | grep -qE -- "$1"; }
explained() {
    local app index id cell event reason name result=0
    events >"$CLUSTER_DIR/events" || return 1
    # What there was is still there, in its order; what is new is newer.
    tail -n "$(wc -l <"$CLUSTER_DIR/events-before")" "$CLUSTER_DIR/events" | diff - "$CLUSTER_DIR/events-before" ||
        { echo "events are not in their order any more"; result=1; }
    while read -r app index id cell; do
        read -r event reason < <(grep -vxFf "$CLUSTER_DIR/events-earlier" "$CLUSTER_DIR/events" |
            grep " $app $id $index " | tail -n1 | cut -d' ' -f1,5-)
        name=one
        [ "$app" = "${GUID[one]}" ] || name=two
        moved=$((moved + 1))
        if [ -z "${event:-}" ] || [ "${#reason}" -lt 10 ]; then
            echo "no event tells why instance $index of $name is not $id on $cell any more (${reason:-})" && result=1
        elif ! berth events "$name" | grep -qF "${reason:0:40}"; then
            echo "\"berth events $name\" does not say: $reason" && result=1
        elif [[ $reason = *silent* ]] && ! said_in_log "silent.* name=.$cell. "; then
            echo "the controller's log does not name the silent cell $cell" && result=1
        fi
    done < <(replaced)
    return $result
}

# --- nothing is left of what ended ---------------------------------------------------------------------------------------

# What each cell holds for containers, by kind; all must be as many as its instances.
held() {
    local cell ns
    for cell in "${CELLS[@]}"; do
        ns=$CLUSTER_PREFIX-$cell
        echo "$cell instances $(python3 "$CLUSTER_LIB/containers.py" list "$ns/berth" | wc -l)"
        echo "$cell cgroups $(find /sys/fs/cgroup -path "*/$ns/berth/*" -prune -type d -printf '%f\n' | sort -u | wc -l)"
        echo "$cell links $(ip -n "$ns" -o link show | grep -c ' berthv')"
        # An instance has one address, and a host port for each of its own.
        echo "$cell addresses $(ip netns exec "$ns" nft -j list map inet berth ports |
            jq '[.nftables[].map.elem // empty | .[][1].concat[0]] | unique | length')"
        echo "$cell bridge-ports $(ip netns exec "$ns" nft -j list set bridge berth ports | jq '[.nftables[].set.elem // empty | length] | add // 0')"
        echo "$cell monitors $(run_on "$cell" pgrep -c conmon)"
        echo "$cell directories $(run_on "$cell" find /var/lib/berth/cell/containers -mindepth 1 -maxdepth 1 | wc -l)"
        echo "$cell records $(run_on "$cell" find /var/lib/berth/cell/instances -mindepth 1 -maxdepth 1 | wc -l)"
    done
}
nothing_left() {
    held | awk '$2 == "instances" { n = $3; next } $3 != n { print $1 ": " $3, $2 " of", n, "instances"; bad = 1 } END { exit bad }'
}
nobody_mounts() {
    local cell
    for cell in "${CELLS[@]}"; do
        ! run_on "$cell" grep "berth/cell/containers" /proc/mounts || return 1
    done
}

# --- all of it ---------------------------------------------------------------------------------------------------------------

violations=0 moved=0
violation() {
    violations=$((violations + 1)) checks_failed=$((checks_failed + 1))
    echo "not ok - step $steps ($STEP): $*"
    [ -z "$DUMP" ] || dump "$DUMP/$violations"
}
# What whoever looks into it wants to see.
dump() {
    local name
    mkdir -p "$1" && cp "$CLUSTER_DIR"/{events,look}* "$1" 2>/dev/null
    echo "$step_begin $STEP" >"$1/step"
    look >"$1/look"
    for name in $(hosts_names); do run_on "$name" journalctl -q --no-pager -o short-precise -u 'berth-*' >"$1/$name" 2>/dev/null; done
}
# must SECONDS COMMAND TEXT: within them; what it says meanwhile is the reason.
must() {
    wait_for "$1" "$2" || violation "$3: $("$2" 2>&1)"
}
look_after() {
    must 30 be_sure "the API does not answer"
    must $SETTLE runs "what runs is not what is desired (< wanted, > there)"
    must 20 told "the API says"
    must 35 routed "routers answer otherwise (< wanted, > came)"
    [ -z "${1:-}" ] || must 10 explained "it is not said why"
}
look_at_the_end() {
    local app said result
    STEP="the end"
    must 30 nothing_left "something is left of what ended"
    must 1 nobody_mounts "mounts are seen on the host"
    watch_end
    said=$(python3 "$CLUSTER_LIB/containers.py" second "$CLUSTER_DIR/lives" "$CLUSTER_DIR/steps" $SECOND) ||
        violation "a second instance lived on: $said"
    echo "# ${said##*$'\n'}; $moved were replaced, and it was said why"
    traffic_end
    [ -z "$DUMP" ] || { mkdir -p "$DUMP" && cp "$CLUSTER_DIR"/{traffic-one,traffic-two,windows,steps,lives} "$DUMP"; }
    for app in one two; do
        said=$(python3 "$CLUSTER_LIB/balanced.py" judge "$CLUSTER_DIR/traffic-$app" "$CLUSTER_DIR/windows" $SLOW)
        result=$?
        echo "# $app: ${said##*$'\n'}"
        requests=$((requests + $(wc -l <"$CLUSTER_DIR/traffic-$app")))
        [ $result = 0 ] || violation "requests to $app: $said"
    done
}
