# shellcheck shell=bash
# status.sh - the cluster in one table. Sourced by deploy/cluster.

CERTIFICATE_DAYS=30 # a certificate that ends within them is a problem
DISK_FULL=90        # percent
CLOCK_OFF=5         # s that a host's clock may be away from the controller's

# Of a page's line "ID name=X ... key=value ...": the value.
field() { sed -nE "s/.* $1=([^ ]+).*/\1/p" <<<"$2"; }

status_row() { # HOST ROLE
    local host=$1 role=$2 state heard=- instances=- memory=- problems=() node cell free all health off
    state=$(fact "$host" "$role")
    if [ ! -s "$WORK/facts.$host" ]; then
        state=unreachable problems+=("$(tail -n1 "$WORK/stderr.$host" 2>/dev/null)")
    elif [ "$(fact "$host" "drained_$role")" = yes ]; then
        state=drained
    elif [ "$state" != active ]; then
        problems+=("not running")
    elif [ "$(fact "$host" "health_$role")" != ok ]; then
        health=$(fact "$host" "health_$role")
        problems+=("${health:-does not answer}")
    fi
    node=$(grep " kind=$role name=$host " "$WORK/nodes" | tail -n1)
    if [ -n "$node" ]; then
        heard=$(($(field silent_ms "$node") / 1000))s
        [ $state != active ] || [ "${heard%s}" -lt 15 ] || problems+=("the controller does not hear it")
    elif [ "$role" != controller ] && [ "$state" = active ] && [ -s "$WORK/nodes" ]; then
        problems+=("the controller does not know it")
    fi
    if [ "$role" = cell ]; then
        cell=$(grep " name=$host " "$WORK/cells" | tail -n1)
        if [ -n "$cell" ]; then
            instances=$(field instances "$cell") memory=$(field memory_free_mb "$cell")
            free=${memory%/*} all=${memory#*/}
            memory=$((all - free))/${all}M
            [ $state != active ] || state=$(field state "$cell")
        fi
    fi
    [ "$(fact "$host" package)" = "$STATUS_VERSION" ] || [ $state = unreachable ] ||
        problems+=("another version than the controller's")
    off=$(($(clock_of "$host") - $(clock_of "$CONTROLLER")))
    [ ${off#-} -le $CLOCK_OFF ] || problems+=("its clock is $off s off the controller's")
    [ "$(fact "$host" disk_used)" = "" ] || [ "$(fact "$host" disk_used)" -lt $DISK_FULL ] ||
        problems+=("disk $(fact "$host" disk_used)% full")
    printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\n' "$host" "$role" "${HOST_ZONE[$host]}" "$(fact "$host" package)" "$state" \
        "$instances" "$memory" "$heard" "$(IFS=';'; echo "${problems[*]:-}")"
}

# How far its clock is from ours; 0: not known. It was read between the two.
clock_of() {
    local clock begun ended
    clock=$(fact "$1" clock) begun=$(fact "$1" begun) ended=$(fact "$1" ended)
    [ -n "$clock" ] && [ -n "$ended" ] || { echo 0; return; }
    if [ "$clock" -lt "$begun" ]; then echo $((clock - begun)); else echo $((clock > ended ? clock - ended : 0)); fi
}
get_facts_and_time() {
    local begun=$EPOCHSECONDS
    get_facts "$1" || return 1
    printf 'begun=%s\nended=%s\n' "$begun" "$EPOCHSECONDS" >>"$WORK/facts.$1"
}

# Columns by "|", as wide as need be.
print_table() {
    awk -F'|' '{
        for (i = 1; i <= NF; i++) { cell[NR, i] = $i == "" ? "-" : $i; if (length(cell[NR, i]) > wide[i]) wide[i] = length(cell[NR, i]) }
    } END {
        for (row = 1; row <= NR; row++) {
            line = ""
            for (i = 1; i <= NF; i++) line = line sprintf("%-" wide[i] "s  ", cell[row, i])
            sub(/ +$/, "", line)
            print line
        }
    }'
}

status() {
    want 0
    local host role name
    # shellcheck disable=SC2119
    each get_facts_and_time "${HOSTS[@]}" >/dev/null
    controller_page /nodes >"$WORK/nodes" 2>/dev/null
    controller_page /cells >"$WORK/cells" 2>/dev/null
    STATUS_VERSION=$(fact "$CONTROLLER" package)
    # Where it cannot be asked, what most hosts have.
    [ -n "$STATUS_VERSION" ] || STATUS_VERSION=$(for host in "${HOSTS[@]}"; do fact "$host" package; done |
        grep . | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
    {
        echo "NAME|ROLE|ZONE|VERSION|STATE|INSTANCES|MEMORY|HEARD|PROBLEMS"
        for host in "${HOSTS[@]}"; do
            for role in $(roles_of "$host"); do status_row "$host" "$role"; done
        done
    } >"$WORK/table"
    print_table <"$WORK/table"
    for name in api router; do
        [ ! -e "$DIR/keys/$name.pem" ] ||
            openssl x509 -checkend $((CERTIFICATE_DAYS * 86400)) -noout -in "$DIR/keys/$name.pem" >/dev/null ||
            echo "|the certificate of $name ends within $CERTIFICATE_DAYS days: deploy/cluster rotate-keys --certificates" |
            tee -a "$WORK/table" | tr -d '|'
    done
    [ ! -e "$DIR/keys/ca.pem" ] ||
        openssl x509 -checkend $((CERTIFICATE_DAYS * 86400)) -noout -in "$DIR/keys/ca.pem" >/dev/null ||
        echo "|the authority ends within $CERTIFICATE_DAYS days: deploy/cluster rotate-keys" |
        tee -a "$WORK/table" | tr -d '|'
    [ ! -e "$DIR/keys/previous-master.key" ] ||
        echo "|a rotation of keys is not finished: deploy/cluster rotate-keys" | tee -a "$WORK/table" | tr -d '|'
    awk -F'|' 'NR > 1 && $NF != "" { bad = 1 } END { exit bad }' "$WORK/table"
}
