# shellcheck shell=bash
# render.sh - the files of a host, made of the inventory, keys and what the operator adds. Source it after
# inventory.sh and fence.sh.
#
#   render HOST ROLE TO      files of ROLE (host: what every host has) into TO/files, and TO/manifest, whose lines
#                            are "SHA256 MODE OWNER:GROUP PATH"
#   ports_of ROLE            ports that the role listens on
#   admin_of ROLE            host:port of its admin page, seen from the host itself
#
# Uses DIR: keys/ as keys.sh makes them; local/{controller,cell,router}.ini and local/HOST.ROLE.ini, added to what
# is written here (keys first, then sections); local/files/, which become /etc/berth/local on every host.

DRAIN_MARGIN=60 # s from our giving up to empty a cell until the cell would stop what is left

bus_ports() { echo "$(setting bus_port) $(($(setting bus_port) + 1))"; }
peer_port() { echo $(($(setting bus_port) + 5)); }
health_port() { echo $(($(setting bus_port) + 6)); }
admin_port() {
    case $1 in
        controller) echo $(($(setting bus_port) + 2)) ;;
        cell) echo $(($(setting bus_port) + 3)) ;;
        router) echo $(($(setting bus_port) + 4)) ;;
    esac
}
ports_of() {
    case $1 in
        controller) echo "$(bus_ports) $(setting api_port) $(admin_port controller)" ;;
        cell) echo "$(admin_port cell) $(peer_port)" ;;
        router) echo "$(setting http_port) $(setting https_port) $(admin_port router) $(health_port)" ;;
    esac
}

# Loopback only, unless there are monitors, whom the fence then lets in.
admin_of() {
    local address=127.0.0.1
    [ "$(setting monitors)" = none ] || address=$(bracketed "${HOST_ADDRESS[$2]}")
    echo "$address:$(admin_port "$1")"
}

bracketed() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }
controller_address() { bracketed "${HOST_ADDRESS[$(hosts_with controller)]}"; }
api_url() {
    local url
    url=$(setting api_url)
    [ "$url" != auto ] || url=https://$(controller_address):$(setting api_port)
    echo "$url"
}
any_address() { case ${HOST_ADDRESS[$1]} in *:*) echo '[::]' ;; *) echo 0.0.0.0 ;; esac; }

# put TO MODE OWNER PATH: standard input is that file.
put() {
    mkdir -p "$1/files$(dirname "$4")" && cat >"$1/files$4" || return 1
    printf '%s %s %s %s\n' "$(sha256sum <"$1/files$4" | cut -d' ' -f1)" "$2" "$3" "$4" >>"$1/manifest"
}
put_key() { put "$1" "$2" "$3" "$4" <"$DIR/keys/$5"; }

local_lines() { cat "$DIR/local/$2.ini" "$DIR/local/$1.$2.ini" 2>/dev/null; }

# Lines of the bus that cells and routers have in common.
node_lines() {
    cat <<INI
name = $1
zone = ${HOST_ZONE[$1]}
key_file = /etc/berth/$2
controller = tcp://$(controller_address):$(setting bus_port)
controller_logs = tcp://$(controller_address):$(($(setting bus_port) + 1))
INI
}

render_controller() {
    local host=$1 to=$2 own=berth-controller:berth-controller name
    put "$to" 0640 root:berth-controller /etc/berth/controller.ini <<INI
# Written by deploy/cluster.
state_dir = /var/lib/berth/controller
api_listen = $(any_address "$host"):$(setting api_port)
api_url = $(api_url)
api_cert = /etc/berth/api.pem
api_key = /etc/berth/api.key
bus_control = tcp://$(controller_address):$(setting bus_port)
bus_logs = tcp://$(controller_address):$(($(setting bus_port) + 1))
master_key_file = /etc/berth/master.key
$([ ! -e "$DIR/keys/previous-master.key" ] || echo "previous_master_key_file = /etc/berth/previous-master.key")
secrets_key_file = /etc/berth/secrets.key
$([ ! -e "$DIR/keys/previous-secrets.key" ] || echo "previous_secrets_key_file = /etc/berth/previous-secrets.key")
default_domain = $(setting domain)
admin = $(admin_of controller "$host")

$(local_lines "$host" controller)
INI
    put_key "$to" 0600 $own /etc/berth/master.key master.key
    put_key "$to" 0600 $own /etc/berth/secrets.key secrets.key
    for name in previous-master.key previous-secrets.key; do
        [ ! -e "$DIR/keys/$name" ] || put_key "$to" 0600 $own "/etc/berth/$name" $name
    done
    put_key "$to" 0644 root:root /etc/berth/api.pem api.pem
    put_key "$to" 0600 $own /etc/berth/api.key api.key
}

render_cell() {
    local host=$1 to=$2 ports
    ports=$(setting cell_ports)
    put "$to" 0640 root:root /etc/berth/cell.ini <<INI
# Written by deploy/cluster.
$(node_lines "$host" cell.key)
address = ${HOST_ADDRESS[$host]}
state_dir = /var/lib/berth/cell
run_dir = /run/berth/cell
port_first = ${ports%-*}
port_count = $((${ports#*-} - ${ports%-*} + 1))
drain_timeout = $(($(setting drain_timeout) + DRAIN_MARGIN))
peer_port = $(peer_port)
admin = $(admin_of cell "$host")

$(local_lines "$host" cell)
INI
    put_key "$to" 0600 root:root /etc/berth/cell.key "nodes/$host.cell.key"
}

render_router() {
    local host=$1 to=$2 own=berth-router:berth-router
    put "$to" 0640 root:berth-router /etc/berth/router.ini <<INI
# Written by deploy/cluster.
$(node_lines "$host" router-node.key)
state_dir = /var/lib/berth/router
listen = $(any_address "$host"):$(setting http_port)
listen_tls = $(any_address "$host"):$(setting https_port)
tls_cert = /etc/berth/router.pem
tls_key = /etc/berth/router.key
access_log = /var/log/berth/access.log
drain_wait_ms = $(($(setting drain_wait) * 1000))
admin = $(admin_of router "$host")
health = $(any_address "$host"):$(health_port)

$(local_lines "$host" router)
INI
    put_key "$to" 0600 $own /etc/berth/router-node.key "nodes/$host.router.key"
    put_key "$to" 0644 root:root /etc/berth/router.pem router.pem
    put_key "$to" 0600 $own /etc/berth/router.key router.key
}

# Its own inner ports are for the cluster's hosts; containers of any host may reach nobody's.
render_host() {
    local host=$1 to=$2 path ports=() far monitors=() admin=() role
    far="$(bus_ports) $(peer_port) $(setting cell_ports)"
    ! has_role "$host" controller || ports+=("$(bus_ports)")
    ! has_role "$host" cell || ports+=("$(peer_port)" "$(setting cell_ports)")
    for role in controller cell router; do
        ! has_role "$host" $role || admin+=("$(admin_port $role)")
    done
    if [ "$(setting monitors)" = none ]; then
        ports+=("${admin[*]}") admin=()
    else
        monitors=(--monitors "$(setting monitors | tr , ' ')")
    fi
    fence_render --peers "${HOST_ADDRESS[*]}" --ports "${ports[*]:-${admin[*]}}" --far-ports "$far" "${monitors[@]}" \
        --admin-ports "${admin[*]}" >"$to/fence" || return 1
    put "$to" 0644 root:root /etc/berth/fence.nft <"$to/fence" && rm -f "$to/fence"
    put_key "$to" 0644 root:root /etc/berth/ca.pem ca.pem
    [ -d "$DIR/local/files" ] || return 0
    find "$DIR/local/files" -type f | sort | while read -r path; do
        put "$to" 0644 root:root "/etc/berth/local/${path#"$DIR/local/files/"}" <"$path"
    done
}

render() {
    (umask 077 && rm -rf "$3" && mkdir -p "$3" && : >"$3/manifest" && "render_$2" "$1" "$3")
}
