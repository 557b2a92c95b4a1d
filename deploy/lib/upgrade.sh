# shellcheck shell=bash
# upgrade.sh - another version, node by node. Sourced by deploy/cluster.
#
# The controller goes first, for it speaks with older nodes; then routers, each draining before it ends; then cells,
# each emptied, replaced and back before the next one. A run that was cut off finds done what is done.

SETTLE=180 # s for instances to run again before the next cell is emptied

# Instances that should run and do not: unplaced, being started, on silent cells, on their way out.
instances_away() {
    local page
    page=$(controller_page /metrics) && [ -n "$page" ] || return 1
    awk '/^berth_instances_(unclaimed|claimed|suspect|evacuating) / { n += $2 } END { print n + 0 }' <<<"$page"
}
settled() {
    local away
    away=$(instances_away) && [ "$away" -le "$1" ]
}

is_heard() { # HOST ROLE
    nodes_heard | awk -v k="$2" -v n="$1" '$1 == k && $2 == n && $3 < 15000 { found = 1 } END { exit !found }'
}
other_cells_heard() { nodes_heard | awk -v n="$1" '$1 == "cell" && $2 != n && $3 < 15000' | grep -q .; }

# Another program or configuration than what runs, or nothing runs.
would_act() { # HOST ROLE
    render "$1" "$2" "$WORK/send.$1" && rm -rf "$WORK/send.$1/files" && on "$1" plan "$2"
}

upgrade_package() {
    has_package "$1" || send_package "$1" || return 1
    # The next role of this host need not ask for it again.
    get_facts "$1"
}

upgrade_simple() { # HOST ROLE
    local plan
    if [ -n "$DRY_RUN" ]; then
        has_package "$1" || { say "would install $PACKAGE_VERSION and restart $2"; return; }
        would_act "$1" "$2"
        return
    fi
    upgrade_package "$1" && apply_roles "$1" host "$2" || return 1
    [ "$(fact "$1" drained_"$2")" = yes ] || [ "$2" = controller ] || wait_until 30 is_heard "$1" "$2" ||
        { say "the controller does not hear it"; return 1; }
}

upgrade_cell() {
    local plan away empty=1
    plan=$(would_act "$1" cell) || { say "$plan"; return 1; }
    if has_package "$1" && ! grep -q 'would restart cell' <<<"$plan"; then
        upgrade_simple "$1" cell
        return
    fi
    [ -z "$IN_PLACE" ] && [ "$(fact "$1" cell)" = active ] && [ "$(fact "$1" drained_cell)" != yes ] &&
        other_cells_heard "$1" || empty=
    if [ -n "$DRY_RUN" ]; then
        say "would ${empty:+empty the cell, }install $PACKAGE_VERSION, start it again"
        return
    fi
    away=$(instances_away) || { say "the controller does not answer"; return 1; }
    if [ -n "$empty" ]; then
        empty_cell "$1" || return 1
    fi
    upgrade_simple "$1" cell || return 1
    wait_until $SETTLE settled "$away" ||
        { say "$(instances_away) instances do not run $SETTLE s later: not going on"; return 1; }
}

do_upgrade_controller() { quietly upgrade_simple "$1" controller; }
do_upgrade_router() { quietly upgrade_simple "$1" router; }
do_upgrade_cell() { quietly upgrade_cell "$1"; }

upgrade() {
    local targets=("${ARGUMENTS[@]}") name role names
    for name in "${targets[@]}"; do known "$name"; done
    [ ${#targets[@]} -gt 0 ] || targets=("${USED[@]}")
    package_choose new
    step "hosts"
    look "${USED[@]}"
    for name in "${targets[@]}"; do
        [ -n "$(fact "$name" package)" ] || die "$name has no Berth yet: see deploy/cluster up"
    done
    for role in controller router cell; do
        names=()
        for name in "${targets[@]}"; do ! has_role "$name" $role || names+=("$name"); done
        [ ${#names[@]} -gt 0 ] || continue
        step "$role: $PACKAGE_VERSION"
        one_by_one do_upgrade_$role "${names[@]}" || die "stopped here: run it again when the cause is gone$(way_back)"
    done
    [ -n "${ARGUMENTS[*]}$SKIP" ] || package_is_good
}
