# shellcheck shell=bash
# inventory.sh - reads a cluster's inventory. Source it.
#
#   inventory_read FILE      fills what is below; 1, with a line for each error on standard error
#   setting NAME             a setting's value
#   hosts_with ROLE          names of hosts that have the role
#   has_role HOST ROLE
#
# Lines are "key = value" settings, then under [hosts] one host a line:
#   NAME ADDRESS ROLES ZONE [ssh=[USER@]ADDRESS[:PORT]]
# ROLES by comma: controller, cell, router. "#" begins a comment.

declare -A SETTINGS=() HOST_ADDRESS=() HOST_ROLES=() HOST_ZONE=() HOST_SSH=()
HOSTS=()

# name, default ("-": must be set), what it must look like, what it is
INVENTORY_SETTINGS='
domain         -            [a-z0-9]([a-z0-9.-]*[a-z0-9])?  apps are NAME.DOMAIN
api_url        auto         (auto|https://[^/]+)            the API as users reach it; auto: the controller'"'"'s address
api_port       9443         [0-9]{1,5}                      where the controller listens for users
http_port      80           [0-9]{1,5}                      where routers listen
https_port     443          [0-9]{1,5}                      where they listen with TLS
bus_port       7400         [0-9]{1,5}                      bus and what follows it: see README
cell_ports     61001-65534  [0-9]{1,5}-[0-9]{1,5}           host ports of containers
monitors       none         [0-9a-fA-F.:/,]+|none           addresses by comma that may read admin pages
org            default      [A-Za-z0-9_.-]+                 the first organization
space          default      [A-Za-z0-9_.-]+                 its first space
ssh_user       root         [a-z_][a-z0-9_-]*               who logs in to hosts: root, or may sudo without a password
ssh_key        none         /.+|none                        private key file for it; none: as ssh finds it
drain_timeout  600          [0-9]{1,5}                      seconds that a cell may take to be emptied
drain_wait     20           [0-9]{1,3}                      seconds that a stopping router is unhealthy but serves
'

ADDRESS_FORM='([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]+)'
NAME_FORM='[a-z][a-z0-9-]{0,29}'

setting() { printf '%s\n' "${SETTINGS[$1]}"; }
has_role() { case ",${HOST_ROLES[$1]}," in *",$2,"*) return 0 ;; esac; return 1; }
hosts_with() {
    local name
    for name in "${HOSTS[@]}"; do
        ! has_role "$name" "$1" || echo "$name"
    done
}

inventory_error() {
    printf '%s:%s: %s\n' "$INVENTORY" "$1" "$2" >&2
    inventory_errors=$((inventory_errors + 1))
}

inventory_setting() {
    local line=$1 key=$2 value=$3 name form rest
    while read -r name rest form _; do
        [ "$name" = "$key" ] || continue
        [[ $value =~ ^($form)$ ]] || inventory_error "$line" "$key: \"$value\" is not what it can be (see deploy/README.md)"
        SETTINGS[$key]=$value
        return
    done <<<"$INVENTORY_SETTINGS"
    inventory_error "$line" "unknown setting \"$key\""
}

inventory_host() {
    local line=$1 name=$2 address=${3:-} roles=${4:-} zone=${5:-} role option
    [[ $name =~ ^$NAME_FORM$ ]] || { inventory_error "$line" "\"$name\" is no host name (lower case, digits, -)"; return; }
    [ -n "$zone" ] || { inventory_error "$line" "want: NAME ADDRESS ROLES ZONE [ssh=USER@ADDRESS:PORT]"; return; }
    [ -z "${HOST_ADDRESS[$name]:-}" ] || inventory_error "$line" "a second host \"$name\""
    [[ $address =~ ^$ADDRESS_FORM$ ]] || inventory_error "$line" "\"$address\" is no IP address"
    [[ " ${HOST_ADDRESS[*]} " != *" $address "* ]] || inventory_error "$line" "a second host with the address $address"
    [[ $zone =~ ^[a-z0-9][a-z0-9-]{0,29}$ ]] || inventory_error "$line" "\"$zone\" is no zone (lower case, digits, -)"
    for role in ${roles//,/ }; do
        case $role in controller | cell | router) ;; *) inventory_error "$line" "unknown role \"$role\"" ;; esac
    done
    HOSTS+=("$name")
    HOST_ADDRESS[$name]=$address HOST_ROLES[$name]=$roles HOST_ZONE[$name]=$zone HOST_SSH[$name]=
    for option in "${@:6}"; do
        [[ $option =~ ^ssh=([a-z_][a-z0-9_-]*@)?([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$ ]] ||
            { inventory_error "$line" "\"$option\" is not ssh=[USER@]ADDRESS[:PORT]"; continue; }
        HOST_SSH[$name]=${option#ssh=}
    done
}

inventory_read() {
    local number=0 text section= key value words controllers
    INVENTORY=$1 inventory_errors=0 HOSTS=() HOST_ADDRESS=() HOST_ROLES=() HOST_ZONE=() HOST_SSH=() SETTINGS=()
    [ -r "$1" ] || { printf 'there is no inventory %s: deploy/cluster init makes an example\n' "$1" >&2; return 1; }
    while read -r key value _; do
        [ -z "$key" ] || [ "$value" = - ] || SETTINGS[$key]=$value
    done <<<"$INVENTORY_SETTINGS"
    while IFS= read -r text || [ -n "$text" ]; do
        number=$((number + 1))
        text=${text%%#*}
        read -ra words <<<"$text"
        [ ${#words[@]} -gt 0 ] || continue
        case $section:${words[0]} in
            *:'[hosts]') section=hosts ;;
            *:'['*) inventory_error $number "unknown section ${words[*]}" ;;
            hosts:*) inventory_host $number "${words[@]}" ;;
            *)
                [[ $text =~ ^[[:space:]]*([a-z_]+)[[:space:]]*=[[:space:]]*([^[:space:]]+)[[:space:]]*$ ]] ||
                    { inventory_error $number "not a \"key = value\" line: ${words[*]}"; continue; }
                inventory_setting $number "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
                ;;
        esac
    done <"$1"
    [ -n "${SETTINGS[domain]:-}" ] || inventory_error $number "\"domain\" must be set"
    [ ${#HOSTS[@]} -gt 0 ] || inventory_error $number "no hosts"
    controllers=$(hosts_with controller | wc -l)
    [ "$controllers" = 1 ] || inventory_error $number "$controllers hosts are controllers: it must be one"
    [ $inventory_errors = 0 ]
}
