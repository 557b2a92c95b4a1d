# shellcheck shell=bash
# keys.sh - the cluster's keys and certificates, in DIR/keys (0700). Source it after certificates.sh and render.sh.
#
#   ca.pem ca.key                  the cluster's own authority
#   api.pem api.key, router.*      certificates that it signed; a pair that an operator put there is left alone
#   master.key                     what nodes' keys come from: "GENERATION KEY"
#   previous-master.key            there while keys are rotated
#   secrets.key                    seals secrets in the database; never changes
#   admin-password                 of the first user, once the controller has made it
#   nodes/HOST.ROLE.key            a node's key: "TAG GENERATION ID KEY"
#
#   keys_make                      what can be made without a host; kept when there
#   keys_certificates              certificates that fit the inventory; again when names changed
#   keys_new_certificates          new ones
#   keys_new_master                begins a rotation, or goes on with one
#   key_generation FILE, key_id FILE

keys_make() {
    (umask 077 && mkdir -p "$DIR/keys/nodes") && chmod 0700 "$DIR/keys" || return 1
    make_authority "$DIR/keys/ca" "Berth ${SETTINGS[domain]}"
    make_key "$DIR/keys/secrets.key"
    [ -e "$DIR/keys/master.key" ] || (umask 077 && printf '1 %s\n' "$(openssl rand -hex 32)" >"$DIR/keys/master.key.new" &&
        mv "$DIR/keys/master.key.new" "$DIR/keys/master.key")
}

api_names() {
    local host
    host=$(api_url | sed -E 's#https://##; s#:[0-9]+$##; s#[][]##g')
    address_expand "$host" >/dev/null && echo "IP:$host" || echo "DNS:$host"
    [ "$host" = "$(controller_address | tr -d '[]')" ] || echo "IP:$(controller_address | tr -d '[]')"
}
router_names() {
    local name
    echo "DNS:*.$(setting domain)"
    echo "DNS:$(setting domain)"
    for name in $(hosts_with router); do echo "IP:${HOST_ADDRESS[$name]}"; done
}

# Ours when there is a list of the names it was made for.
certificate() {
    local base=$DIR/keys/$1 names
    names=$("$1_names")
    [ ! -e "$base.pem" ] || [ -e "$base.names" ] || return 0
    [ "$(cat "$base.names" 2>/dev/null)" != "$names" ] || return 0
    # shellcheck disable=SC2086 # a word each
    (
        rm -f "$DIR/keys/new.pem" && make_certificate "$DIR/keys/ca" "$DIR/keys/new" $names &&
            mv "$DIR/keys/new.key" "$base.key" && mv "$DIR/keys/new.pem" "$base.pem" && echo "$names" >"$base.names"
    )
}
keys_certificates() { certificate api && certificate router; }
keys_new_certificates() {
    local name
    for name in api router; do
        [ ! -e "$DIR/keys/$name.names" ] || : >"$DIR/keys/$name.names"
    done
    keys_certificates
}

# Of a master key's file the first word, of a node's the second, in hex.
key_generation() {
    local words
    read -ra words <"$1"
    case ${#words[@]} in
        1) echo 1 ;;
        2) echo "${words[0]}" ;;
        *) echo $((16#${words[1]})) ;;
    esac
}
key_id() { cut -d' ' -f3 "$1"; }

keys_new_master() {
    local keys=$DIR/keys generation
    # Cut off between the two renames the previous one is still the present one: that is the beginning.
    if [ -e "$keys/previous-master.key" ] && ! cmp -s "$keys/previous-master.key" "$keys/master.key"; then
        return
    fi
    generation=$(($(key_generation "$keys/master.key") % 255 + 1))
    (
        umask 077
        printf '%d %s\n' $generation "$(openssl rand -hex 32)" >"$keys/master.key.new" &&
            cp "$keys/master.key" "$keys/previous-master.key.new" &&
            mv "$keys/previous-master.key.new" "$keys/previous-master.key" &&
            mv "$keys/master.key.new" "$keys/master.key"
    )
}
