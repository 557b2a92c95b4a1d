# shellcheck shell=bash
# remote.sh - commands on a cluster's hosts, over ssh. Source it after inventory.sh.
#
#   on HOST VERB [ARGUMENT...]      what lib/host.sh does there as root; its standard output is ours. Files in
#                                   $WORK/send.HOST go along (and are gone there afterwards). 255: not reached
#   each FUNCTION HOST...           FUNCTION HOST for all at the same time, what each says under its name; 1 when
#                                   one failed
#   one_by_one FUNCTION HOST...     the same, in order, up to the first that fails
#
# Uses DIR (known_hosts), WORK (a private temporary directory) and SOURCE. Arguments are never secret: files are. What
# is started here does not keep descriptor 8, the operator's lock.

PARALLEL=16

# remote_target HOST: sets `target` and `options` of ssh.
remote_target() {
    local ssh=${HOST_SSH[$1]} port=22 user
    user=$(setting ssh_user)
    case $ssh in *@*) user=${ssh%%@*} ssh=${ssh#*@} ;; esac
    if [[ $ssh =~ ^(.*[^:]):([0-9]+)$ ]] && [[ ${BASH_REMATCH[1]} != *:* || $ssh == \[* ]]; then
        ssh=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
    fi
    ssh=${ssh#[} ssh=${ssh%]}
    target=$user@${ssh:-${HOST_ADDRESS[$1]}}
    options=(-p "$port" -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o "UserKnownHostsFile=$DIR/known_hosts"
        -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=4 -o LogLevel=ERROR
        -o ControlMaster=auto -o "ControlPath=$WORK/ssh-%C" -o ControlPersist=30)
    [ "$(setting ssh_key)" = none ] || options+=(-o IdentitiesOnly=yes -i "$(setting ssh_key)")
}

on() {
    local host=$1 sudo= target options=() result reason send=$WORK/send.$1
    shift
    remote_target "$host"
    [ "${target%%@*}" = root ] || sudo='sudo -n '
    mkdir -p -m 0700 "$send" && cp "$SOURCE/deploy/lib/host.sh" "$send/host.sh" || return 1
    # shellcheck disable=SC2016 # expanded over there
    local script='umask 077; d=$(mktemp -d /run/berth-deploy.XXXXXXXX) && trap "rm -rf $d" EXIT HUP TERM &&
        tar -xf - -C "$d" && bash "$d/host.sh" "$@"'
    tar -C "$send" -cf - . | ssh "${options[@]}" "$target" -- "${sudo}sh -c $(printf '%q ' "$script" host "$@")" \
        2>"$WORK/stderr.$host" 8>&-
    result=${PIPESTATUS[1]}
    rm -rf "$send"
    if [ "$result" = 255 ]; then
        reason=$(tail -n1 "$WORK/stderr.$host")
        case $reason in
            *'Host key verification failed'*)
                reason="its host key is not the one of before. If that is right: ssh-keygen -R HOST -f $DIR/known_hosts" ;;
        esac
        printf '%s cannot be reached: %s\n' "$target" "${reason:-the connection ended}" >&2
    else
        cat "$WORK/stderr.$host" >&2
    fi
    return "$result"
}

remote_end() {
    local host target options=()
    for host in "${HOSTS[@]}"; do
        remote_target "$host"
        ssh "${options[@]}" -O exit "$target" >/dev/null 2>&1
    done
    return 0
}

said() { sed "s/^/  $(printf '%-10s' "$1") /" <"$WORK/said.$1"; }

each() {
    local function=$1 host failed=0 running=0
    shift
    for host in "$@"; do
        [ $((running++)) -lt $PARALLEL ] || wait -n
        # Bash forgets how the first of many ended.
        { "$function" "$host" && touch "$WORK/done.$host"; } >"$WORK/said.$host" 2>&1 </dev/null 8>&- &
    done
    wait
    for host in "$@"; do
        rm "$WORK/done.$host" 2>/dev/null || failed=1
        said "$host"
    done
    return $failed
}

one_by_one() {
    local function=$1 host result
    shift
    for host in "$@"; do
        "$function" "$host" >"$WORK/said.$host" 2>&1 </dev/null
        result=$?
        said "$host"
        [ $result = 0 ] || return 1
    done
}
