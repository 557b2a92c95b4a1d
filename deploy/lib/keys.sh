# shellcheck shell=bash
# keys.sh - the cluster's keys and certificates, in DIR/keys (0700). Source it after certificates.sh and render.sh.
#
#   ca.pem ca.key                  the cluster's own authority
#   api.pem api.key, router.*      certificates that it signed; a pair that an operator put there is left alone
#   master.key                     what nodes' keys come from: "GENERATION KEY"
#   secrets.key                    seals secrets in the database
#   previous-master.key, previous-secrets.key   there while keys are rotated; the latter has one a line
#   revoked                        ids of nodes that were removed
#   admin-password                 of the first user, once the controller has made it
#   nodes/HOST.ROLE.key            a node's key: "TAG GENERATION ID KEY"
#
#   keys_make                      what can be made without a host; kept when there
#   keys_certificates              certificates that fit the inventory; again when names changed
#   keys_new_certificates          new ones
#   keys_renew_authority           when it ends soon: with its key, so that who trusts it trusts what it signed before
#   keys_authority DIR             what tells this cluster from others
#   keys_new_secrets, keys_new_master    begin a rotation, or go on with one
#   keys_rotating                  is there one?
#   keys_forget_previous           its end
#   keys_take_secrets FROM         keys of a database that was sealed by those of the folder FROM
#   key_generation FILE, key_id FILE

AUTHORITY_DAYS=900 # more than certificates are made for

keys_make() {
    (umask 077 && mkdir -p "$DIR/keys/nodes") && chmod 0700 "$DIR/keys" || return 1
    make_authority "$DIR/keys/ca" "Berth ${SETTINGS[domain]}" || return 1
    make_key "$DIR/keys/secrets.key"
    [ -e "$DIR/keys/master.key" ] || (umask 077 && printf '1 %s\n' "$(openssl rand -hex 32)" >"$DIR/keys/master.key.new" &&
        mv "$DIR/keys/master.key.new" "$DIR/keys/master.key")
}

keys_renew_authority() {
    local ca=$DIR/keys/ca
    ! openssl x509 -checkend $((AUTHORITY_DAYS * 86400)) -noout -in "$ca.pem" >/dev/null || return 0
    (umask 077 && openssl x509 -in "$ca.pem" -signkey "$ca.key" -days 3650 -out "$ca.pem.new" 2>/dev/null) &&
        mv "$ca.pem.new" "$ca.pem" && echo "renewed the authority: users need the new $ca.pem before the old one ends"
}
keys_authority() { openssl pkey -in "$1/keys/ca.key" -pubout 2>/dev/null; }

api_names() {
    local host
    host=$(api_url | sed -E 's#https://##; s#:[0-9]+$##; s#[][]##g')
    is_address "$host" && echo "IP:$host" || echo "DNS:$host"
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

# keys_new NAME LINE: NAME.key gets another line, previous-NAME.key the one before. Cut off between the two renames the
# previous one is still the present one: that is the beginning.
keys_new() {
    local key=$DIR/keys/$1.key previous=$DIR/keys/previous-$1.key
    (
        umask 077
        echo "$2" >"$key.new" && cp "$key" "$previous.new" && mv "$previous.new" "$previous" && mv "$key.new" "$key"
    )
}
keys_begun() { [ -e "$DIR/keys/previous-$1.key" ] && ! cmp -s "$DIR/keys/previous-$1.key" "$DIR/keys/$1.key"; }

# The master key is the last to come and the last to go: it tells whether keys are being rotated.
keys_new_secrets() { keys_begun secrets || keys_new secrets "$(openssl rand -hex 32)"; }
keys_new_master() {
    local generation
    generation=$(($(key_generation "$DIR/keys/master.key") % 255 + 1))
    keys_begun master || keys_new master "$generation $(openssl rand -hex 32)"
}
keys_rotating() { [ -e "$DIR/keys/previous-master.key" ]; }
keys_forget_previous() { rm -f "$DIR/keys/previous-secrets.key" && rm -f "$DIR/keys/previous-master.key"; }

keys_take_secrets() {
    local previous=$DIR/keys/previous-secrets.key
    cmp -s "$1/secrets.key" "$DIR/keys/secrets.key" && [ ! -e "$1/previous-secrets.key" ] && return
    (umask 077 && cat "$1/secrets.key" "$1/previous-secrets.key" "$previous" 2>/dev/null | sort -u >"$previous.new"
        mv "$previous.new" "$previous")
}
