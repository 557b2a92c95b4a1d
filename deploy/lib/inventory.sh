# shellcheck shell=bash
# inventory.sh - reads a cluster's inventory. Source it.
#
#   inventory_read FILE      fills what is below; 1, with a line for each error on standard error
#   setting NAME             a setting's value
#   hosts_with ROLE          names of hosts that have the role
#   has_role HOST ROLE
#   is_address TEXT          is it an IP address, of either version?
#
# Lines are "key = value" settings, then under [hosts] one host a line: HOST_LINE below. ROLES by comma: controller,
# cell, router. "#" begins a comment.

declare -A SETTINGS=() HOST_ADDRESS=() HOST_ROLES=() HOST_ZONE=() HOST_SSH=()
HOSTS=()

# name, default ("-": must be set), what it must look like, what it is
INVENTORY_SETTINGS='
domain         -            LABEL(\.LABEL)*                 apps are NAME.DOMAIN
api_url        auto         (auto|https://[^/]+)            the API as users reach it; auto: the controller'"'"'s address
api_port       9443         PORT                            where the controller listens for users
http_port      80           PORT                            where routers listen
https_port     443          PORT                            where they listen with TLS
bus_port       7400         PORT                            bus and what follows it: see README
cell_ports     61001-65534  PORT-PORT                       host ports of containers
monitors       none         [0-9a-fA-F.:/,]+|none           addresses by comma that may read admin pages
org            default      [A-Za-z0-9_.-]+                 the first organization
space          default      [A-Za-z0-9_.-]+                 its first space
ssh_user       root         [a-z_][a-z0-9_-]*               who logs in to hosts: root, or may sudo without a password
ssh_key        none         /.+|none                        private key file for it; none: as ssh finds it
drain_timeout  600          (0|[1-9][0-9]{0,4})             seconds that a cell may take to be emptied
drain_wait     20           (0|[1-9][0-9]{0,2})             seconds that a stopping router is unhealthy but serves
'

HOST_LINE='NAME ADDRESS ROLES ZONE [ssh=[USER@]ADDRESS[:PORT]]'
NAME_FORM='[a-z][a-z0-9-]{0,29}'
PORT_FORM='([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
LABEL_FORM='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
OCTET_FORM='(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
BUS_PORTS=7         # from bus_port on
BUS_PORT_MOST=32761 # the last of them is below what Linux gives to outgoing connections

setting() { printf '%s\n' "${SETTINGS[$1]}"; }
has_role() { case ",${HOST_ROLES[$1]}," in *",$2,"*) return 0 ;; esac; return 1; }
hosts_with() {
    local name
    for name in "${HOSTS[@]}"; do
        ! has_role "$name" "$1" || echo "$name"
    done
}

is_address() {
    local text=${1,,} head=() tail=() group
    [[ ! $text =~ ^$OCTET_FORM(\.$OCTET_FORM){3}$ ]] || return 0
    [[ $text == *:* && $text != *:::* && $text != *::*::* && ! $text =~ [^:]:$ ]] || return 1
    IFS=: read -ra head <<<"${text%%::*}"
    if [[ $text == *::* ]]; then
        IFS=: read -ra tail <<<"${text#*::}"
        [ $((${#head[@]} + ${#tail[@]})) -lt 8 ] || return 1
    else
        [ ${#head[@]} = 8 ] || return 1
    fi
    for group in "${head[@]}" "${tail[@]}"; do
        [[ $group =~ ^[0-9a-f]{1,4}$ ]] || return 1
    done
}

# Containers' ports are published by IPv4; 0, 127 and what is above 223 names no one host on a network.
inventory_address() { # LINE ADDRESS
    [[ $2 =~ ^$OCTET_FORM(\.$OCTET_FORM){3}$ ]] || { inventory_error "$1" "\"$2\" is no IPv4 address"; return; }
    case $2 in
        0.* | 127.* | 22[4-9].* | 2[3-5]?.*)
            inventory_error "$1" "other hosts cannot reach $2: want the host's address among them" ;;
    esac
    [ -z "${LINE_OF[$2]:-}" ] || inventory_error "$1" "the address $2 is that of line ${LINE_OF[$2]} already"
    LINE_OF[$2]=$1
}

inventory_error() {
    printf '%s:%s: %s\n' "$INVENTORY" "$1" "$2" >&2
    inventory_errors=$((inventory_errors + 1))
}

inventory_setting() {
    local line=$1 key=$2 value=$3 name form rest
    [ -z "${LINE_OF[$key]:-}" ] || inventory_error "$line" "$key is set in line ${LINE_OF[$key]} already"
    LINE_OF[$key]=$line
    while read -r name rest form _; do
        [ "$name" = "$key" ] || continue
        form=${form//PORT/$PORT_FORM} form=${form//LABEL/$LABEL_FORM}
        [[ $value =~ ^($form)$ ]] && SETTINGS[$key]=$value ||
            inventory_error "$line" "$key: \"$value\" is not what it can be (see deploy/README.md)"
        return
    done <<<"$INVENTORY_SETTINGS"
    inventory_error "$line" "unknown setting \"$key\" (see deploy/README.md)"
}

inventory_roles() { # LINE ROLES
    local role seen=
    for role in ${2//,/ }; do
        case " controller cell router " in
            *" $role "*) [[ " $seen" != *" $role "* ]] || inventory_error "$1" "the role $role comes twice" ;;
            *) inventory_error "$1" "unknown role \"$role\": want controller, cell or router" ;;
        esac
        seen+="$role "
    done
    [ -n "$seen" ] || inventory_error "$1" "no role: want controller, cell or router"
}

inventory_host() {
    local line=$1 name=$2 address=${3:-} roles=${4:-} zone=${5:-} option
    [[ $name =~ ^$NAME_FORM$ ]] ||
        { inventory_error "$line" "\"$name\" is no host name: want lower case letters, digits and -"; return; }
    [ -n "$zone" ] || { inventory_error "$line" "want: $HOST_LINE"; return; }
    [ -z "${LINE_OF[ $name]:-}" ] ||
        { inventory_error "$line" "the host $name is in line ${LINE_OF[ $name]} already"; return; }
    LINE_OF[ $name]=$line
    inventory_address "$line" "$address"
    inventory_roles "$line" "$roles"
    [[ $zone =~ ^[a-z0-9][a-z0-9-]{0,29}$ ]] ||
        inventory_error "$line" "\"$zone\" is no zone: want lower case letters, digits and -"
    HOSTS+=("$name")
    HOST_ADDRESS[$name]=$address HOST_ROLES[$name]=$roles HOST_ZONE[$name]=$zone HOST_SSH[$name]=
    for option in "${@:6}"; do
        [[ $option =~ ^ssh=([a-z_][a-z0-9_-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(:$PORT_FORM)?$ ]] ||
            { inventory_error "$line" "\"$option\" is not ssh=[USER@]ADDRESS[:PORT]"; continue; }
        HOST_SSH[$name]=${option#ssh=}
    done
}

# What each line alone cannot tell. Roles may share a host, so every port is for one thing.
inventory_whole() {
    local last=$1 controllers key other first=${SETTINGS[cell_ports]%-*} end=${SETTINGS[cell_ports]#*-} address port
    local -A taken=()
    line_of() { echo "${LINE_OF[$1]:-${LINE_OF[${2:-$1}]:-$last}}"; }
    [ -n "${LINE_OF[domain]:-}" ] || inventory_error "$last" "\"domain = NAME\" must be set: apps are NAME.DOMAIN"
    [ ${#HOSTS[@]} -gt 0 ] || inventory_error "$last" "no hosts: want \"[hosts]\", then a line each: $HOST_LINE"
    controllers=$(hosts_with controller | paste -sd' ')
    case $controllers in
        '') inventory_error "$last" "no host has the role controller: it must be one" ;;
        *' '*) inventory_error "$last" "more than one host is controller: $controllers" ;;
    esac
    [ "$first" -le "$end" ] && [ "$first" -ge 1024 ] ||
        inventory_error "$(line_of cell_ports)" "cell_ports: want FIRST-LAST, from 1024 on"
    [ "${SETTINGS[bus_port]}" -le $BUS_PORT_MOST ] ||
        inventory_error "$(line_of bus_port)" "bus_port: want $BUS_PORT_MOST at most"
    for port in $(seq "${SETTINGS[bus_port]}" $((SETTINGS[bus_port] + BUS_PORTS - 1))); do taken[$port]=bus_port; done
    for key in api_port http_port https_port; do
        port=${SETTINGS[$key]} other=${taken[${SETTINGS[$key]}]:-}
        [ "$port" -lt "$first" ] || [ "$port" -gt "$end" ] || other=cell_ports
        [ -z "$other" ] || inventory_error "$(line_of $key "$other")" "$key: $port is one of $other's"
        taken[$port]=$key
    done
    [ $((SETTINGS[bus_port] + BUS_PORTS - 1)) -lt "$first" ] || [ "${SETTINGS[bus_port]}" -gt "$end" ] ||
        inventory_error "$(line_of bus_port)" "bus_port: $BUS_PORTS ports from it on must not be cell_ports"
    [ "${SETTINGS[monitors]}" != none ] || return 0
    for address in ${SETTINGS[monitors]//,/ }; do
        is_address "${address%/*}" && [[ $address =~ ^[^/]+(/[0-9]{1,3})?$ ]] ||
            inventory_error "$(line_of monitors)" "monitors: \"$address\" is no IP address"
    done
}

inventory_read() {
    local number=0 text section= key value words
    local -A LINE_OF=() # of settings, " NAME"s and addresses
    INVENTORY=$1 inventory_errors=0 HOSTS=() HOST_ADDRESS=() HOST_ROLES=() HOST_ZONE=() HOST_SSH=() SETTINGS=()
    [ -f "$1" ] && [ -r "$1" ] || { printf 'there is no inventory %s: deploy/cluster init makes an example\n' "$1" >&2; return 1; }
    while read -r key value _; do
        [ -z "$key" ] || [ "$value" = - ] || SETTINGS[$key]=$value
    done <<<"$INVENTORY_SETTINGS"
    while IFS= read -r text || [ -n "$text" ]; do
        number=$((number + 1))
        [ $number != 1 ] || text=${text#$'\xef\xbb\xbf'}
        text=${text%$'\r'} text=${text%%#*}
        read -ra words <<<"$text"
        [ ${#words[@]} -gt 0 ] || continue
        case $section:${words[0]} in
            *:'[hosts]') section=hosts ;;
            *:'['*) inventory_error $number "unknown section ${words[*]}: there is [hosts] only" ;;
            hosts:*) inventory_host $number "${words[@]}" ;;
            *)
                [[ $text =~ ^[[:space:]]*([a-z_]+)[[:space:]]*=[[:space:]]*([^[:space:]]+)[[:space:]]*$ ]] ||
                    { inventory_error $number "not a \"key = value\" line, and [hosts] comes later: ${words[*]}"; continue; }
                inventory_setting $number "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
                ;;
        esac
    done <"$1"
    inventory_whole $number
    [ $inventory_errors = 0 ]
}
