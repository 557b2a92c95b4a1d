#!/usr/bin/env bash
# fence.sh - nftables rules that let only the cluster's own hosts reach its inner ports. A command, or source it.
#
#   fence.sh render --peers "ADDR..." --ports "PORT..." [--far-ports "PORT..."] [--monitors "ADDR..."]
#                   [--admin-ports "PORT..."] [--table NAME]         prints the rules for one host
#   fence.sh load FILE                     puts them in force, in one transaction; again: the same
#   fence.sh check FILE                    would the kernel take them?
#   fence.sh unload [--table NAME]         takes them away
#
#   --peers        the inventory's addresses: IPv4, IPv6 or CIDR, by space
#   --ports        this host's ports for peers only: bus, layers, the cell's published range ("61001-65534")
#   --far-ports    what containers of this host may not reach on a peer, whose fence would take them for
#                  their host, in whose name they speak  [--ports]
#   --monitors     who else may reach --admin-ports, which are for peers and them only
#   --table        the table inet NAME [berth_fence]; no other table is read or changed
#
# Loopback, answers to what this host asked, and every other port are left alone. What is fenced is dropped
# without an answer, also for connections that were open when the rules came. Input is checked: a wrong word is
# an error (exit 2) and prints no rules. The rules look at packets before ports of containers are translated.

fence_fail() {
    printf 'fence: %s\n' "$*" >&2
    return 2
}

# fence_words KIND WORD...: each must be an address or a port (range); nft checks the rest.
fence_words() {
    local kind=$1 word form='^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)(/[0-9]{1,3})?$'
    [ "$kind" = address ] || form='^[0-9]{1,5}(-[0-9]{1,5})?$'
    shift
    for word in "$@"; do
        [[ $word =~ $form ]] || fence_fail "\"$word\" is no $kind" || return
        [ "$kind" = address ] || { [ "${word%-*}" -ge 1 ] && [ "${word#*-}" -le 65535 ] &&
            [ "${word%-*}" -le "${word#*-}" ]; } || fence_fail "\"$word\" is no $kind" || return
    done
}

# fence_set NAME TYPE WORD...: a set; without words an empty one.
fence_set() {
    local name=$1 type=$2
    shift 2
    printf ' set %s {\n  type %s\n  flags interval\n  auto-merge\n' "$name" "$type"
    [ $# -eq 0 ] || printf '  elements = { %s }\n' "$(printf '%s\n' "$@" | sort -u | paste -sd, | sed 's/,/, /g')"
    printf ' }\n'
}

# fence_sets NAME WORD...: the IPv4 and the IPv6 set of a list of addresses.
fence_sets() {
    local name=$1 word v4=() v6=()
    shift
    for word in "$@"; do
        case $word in *:*) v6+=("$word") ;; *) v4+=("$word") ;; esac
    done
    fence_set "${name}4" ipv4_addr "${v4[@]}"
    fence_set "${name}6" ipv6_addr "${v6[@]}"
}

fence_render() {
    local table=berth_fence peers=() ports=() far_ports=() monitors=() admin_ports=() far_given=
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || fence_fail "$1 needs a value" || return
        case $1 in
            --table) table=$2 ;;
            --peers) read -ra peers <<<"${2//$'\n'/ }" ;;
            --ports) read -ra ports <<<"${2//$'\n'/ }" ;;
            --far-ports) read -ra far_ports <<<"${2//$'\n'/ }"; far_given=1 ;;
            --monitors) read -ra monitors <<<"${2//$'\n'/ }" ;;
            --admin-ports) read -ra admin_ports <<<"${2//$'\n'/ }" ;;
            *) fence_fail "unknown argument $1" || return ;;
        esac
        shift 2
    done
    [ -n "$far_given" ] || far_ports=("${ports[@]}")
    [[ $table =~ ^[a-z][a-z0-9_]{0,30}$ ]] || fence_fail "\"$table\" is no table name" || return
    [ ${#peers[@]} -gt 0 ] || fence_fail "no --peers: nobody could reach anything" || return
    [ ${#ports[@]} -gt 0 ] || fence_fail "no --ports: nothing to fence" || return
    fence_words address "${peers[@]}" "${monitors[@]}" || return
    fence_words port "${ports[@]}" "${far_ports[@]}" "${admin_ports[@]}" || return
    # Made new in one transaction: there is no moment without rules.
    printf 'table inet %s {}\ndelete table inet %s\ntable inet %s {\n' "$table" "$table" "$table"
    fence_sets peers "${peers[@]}"
    fence_sets monitors "${monitors[@]}"
    fence_set ports inet_service "${ports[@]}"
    fence_set far_ports inet_service "${far_ports[@]}"
    fence_set admin_ports inet_service "${admin_ports[@]}"
    cat <<'NFT'
 chain arriving {
  # after connection tracking (-200), before the cells' translation of ports (-100)
  type filter hook prerouting priority -150; policy accept;
  iif "lo" accept
  ct direction reply accept
  fib daddr type local jump to_host
 }
 chain to_host {
  ip saddr @peers4 accept
  ip6 saddr @peers6 accept
  tcp dport @ports counter drop
  ip saddr @monitors4 accept
  ip6 saddr @monitors6 accept
  tcp dport @admin_ports counter drop
 }
 chain passing {
  # containers go out in their host's name: a peer could not tell them from it
  type filter hook forward priority -150; policy accept;
  ct direction reply accept
  ct status dnat accept
  ip daddr @peers4 tcp dport @far_ports counter drop
  ip6 daddr @peers6 tcp dport @far_ports counter drop
  ip daddr @peers4 tcp dport @admin_ports counter drop
  ip6 daddr @peers6 tcp dport @admin_ports counter drop
 }
}
NFT
}

fence_table() {
    local table=berth_fence
    [ "${1:-}" != --table ] || table=${2:-}
    [[ $table =~ ^[a-z][a-z0-9_]{0,30}$ ]] || fence_fail "\"$table\" is no table name" || return
    echo "$table"
}

fence_check() { nft -c -f "$1"; }
fence_load() { nft -f "$1"; }

fence_unload() {
    local table
    table=$(fence_table "$@") || return
    printf 'table inet %s {}\ndelete table inet %s\n' "$table" "$table" | nft -f -
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
        render | load | check | unload) "fence_$1" "${@:2}" ;;
        *) sed -n '2,21s/^# \{0,1\}//p' "$0"; [ "${1:-}" = --help ] || exit 2 ;;
    esac
fi
