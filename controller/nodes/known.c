/* known.c - which nodes there are: rows in the store, so that a restarted controller knows for whom
 * to wait; and which may not speak any more. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/random.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"
#include "controller/store/nodes.h"

#define REVOKED_FILE_MAX (1024 * 1024)

void nodes_make_id(Berth__NodeKind kind, uint8_t id[BUS_ID_SIZE]) {
    random_bytes(id, BUS_ID_SIZE);
    id[0] = kind == BERTH__NODE_KIND__NODE_CELL ? NODES_CELL_ID : NODES_ROUTER_ID;
}

/* --- rows --- */

static const char *kind_name(const struct node *node) {
    return node->peer->kind == BERTH__NODE_KIND__NODE_CELL ? "cell" : "router";
}

/* A node that is new to this run is saved almost at once: were the controller killed before its row
 * stands, the next one would not wait for it, and would tell routers of apps without instances. */
void known_seen(struct node *node) {
    static const struct timeval soon = {.tv_usec = FIRST_SAVE_MS * 1000},
                                later = {.tv_sec = SAVE_EVERY_MS / 1000};
    struct nodes *n = node->nodes;
    if (!n->deps.store || node->unsaved || clock_wall_ns() - node->saved_ns < SEEN_AGAIN_NS)
        return;
    node->unsaved = true;
    if (!node->saved_ns)
        event_add(n->save_timer, &soon);
    else if (!event_pending(n->save_timer, EV_TIMEOUT, NULL))
        event_add(n->save_timer, &later);
}

static int save(struct node *node) {
    struct node_row row = {.kind = (char *)kind_name(node),
                           .name = node->name,
                           .zone = node->zone,
                           .address = node->address,
                           .heard_ns = clock_wall_ns()};
    snprintf(row.guid, sizeof row.guid, "%s", node->peer->id_text);
    return store_node_seen(node->nodes->deps.store, &row, NULL);
}

/* Many at once are one transaction: a thousand cells come back together after a restart. */
void on_save_timer(int fd, short what, void *arg) {
    (void)fd, (void)what;
    static const struct timeval again = {.tv_sec = SAVE_EVERY_MS / 1000};
    struct nodes *n = arg;
    struct node *node, *saved[SAVES_A_TIME];
    size_t saved_n = 0, left = 0;
    bool open = !store_in_transaction(n->deps.store) && store_begin(n->deps.store, NULL) == 0;
    for (node = n->all; node; node = node->next) {
        if (!node->unsaved)
            continue;
        if (open && saved_n < SAVES_A_TIME && save(node) == 0)
            saved[saved_n++] = node;
        else
            left++;
    }
    if (open && store_commit(n->deps.store, NULL) == 0) {
        for (size_t i = 0; i < saved_n; i++) {
            saved[i]->unsaved = false;
            saved[i]->saved_ns = clock_wall_ns();
        }
    } else {
        left += saved_n;
    }
    if (left)
        event_add(n->save_timer, &again);
}

/* --- the revoked --- */

bool known_is_revoked(const struct nodes *n, const uint8_t id[BUS_ID_SIZE]) {
    struct revoked *r;
    HASH_FIND(hh, n->revoked, id, BUS_ID_SIZE, r);
    return r != NULL;
}

static void revoked_free(struct revoked *list) {
    struct revoked *r, *tmp;
    HASH_ITER (hh, list, r, tmp) {
        HASH_DEL(list, r);
        free(r);
    }
}

void known_free(struct nodes *n) {
    revoked_free(n->revoked);
    n->revoked = NULL;
}

static int revoked_add(struct revoked **list, const char *hex, struct error *err) {
    struct revoked *r = mem_zalloc(sizeof *r), *old;
    if (!r)
        return error_set(err, -ENOMEM, "out of memory");
    if (hex_decode(hex, r->id, sizeof r->id) < 0) {
        free(r);
        return error_set(err, -EINVAL, "\"%.64s\" is not a node id of %d hex digits", hex,
                         2 * BUS_ID_SIZE);
    }
    HASH_FIND(hh, *list, r->id, BUS_ID_SIZE, old);
    if (!old)
        HASH_ADD(hh, *list, id, BUS_ID_SIZE, r);
    if (old || !r->hh.tbl) {
        free(r);
        return old ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int read_rows(struct nodes *n, struct revoked **list, struct error *err) {
    _cleanup_(node_rows_fini) struct node_rows rows = {0};
    if (!n->deps.store)
        return 0;
    int r = store_node_list(n->deps.store, &(struct store_query){0}, &rows, err);
    for (size_t i = 0; r == 0 && i < rows.n; i++)
        if (rows.v[i].revoked)
            r = revoked_add(list, rows.v[i].guid, err);
    return r;
}

static int read_file(const char *path, struct revoked **list, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    size_t n;
    if (str_empty(path) || access(path, F_OK) < 0)
        return 0;
    int r = fs_read(AT_FDCWD, path, REVOKED_FILE_MAX, &text, &n, err);
    if (r < 0)
        return r;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && *line != '#' && (r = revoked_add(list, line, err)) < 0)
            return error_wrap(err, "%s", path);
    return 0;
}

/* Nobody waits for it any more. A row that itself says "revoked" is needed. */
static void forget_row(struct nodes *n, const char *id) {
    _cleanup_(node_row_fini) struct node_row row = {0};
    if (n->deps.store && store_node_get(n->deps.store, id, &row, NULL) == 0 && !row.revoked)
        (void)store_node_delete(n->deps.store, id, NULL);
}

int nodes_reload(struct nodes *n, struct error *err) {
    struct revoked *list = NULL;
    int r;
    if ((r = read_rows(n, &list, err)) < 0 ||
        (r = read_file(n->deps.revoked_path, &list, err)) < 0) {
        revoked_free(list);
        return r;
    }
    revoked_free(n->revoked);
    n->revoked = list;
    for (const struct revoked *rev = list; rev; rev = rev->hh.next) {
        char id[2 * BUS_ID_SIZE + 1];
        hex_encode(rev->id, BUS_ID_SIZE, id);
        lrp_cell_removed(n->deps.lrp, id);
        forget_row(n, id);
    }
    return 0;
}

int nodes_revoke(const char *revoked_path, const char *id, struct error *err) {
    uint8_t bytes[BUS_ID_SIZE];
    _cleanup_(freep) char *text = NULL;
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    size_t n;
    int r;
    if (hex_decode(id, bytes, sizeof bytes) < 0)
        return error_set(err, -EINVAL, "\"%.64s\" is not a node id of %d hex digits", id,
                         2 * BUS_ID_SIZE);
    if (access(revoked_path, F_OK) == 0 &&
        (r = fs_read(AT_FDCWD, revoked_path, REVOKED_FILE_MAX, &text, &n, err)) < 0)
        return r;
    strbuf_printf(&out, "%s%s%s\n", text ? text : "",
                  text && *text && !str_ends(text, "\n") ? "\n" : "", id);
    if (out.failed)
        return error_set(err, -ENOMEM, "out of memory");
    return fs_write_atomic(AT_FDCWD, revoked_path, 0600, out.p, out.n, err);
}

int known_load(struct nodes *n, struct error *err) {
    _cleanup_(node_rows_fini) struct node_rows rows = {0};
    int r = nodes_reload(n, err);
    if (r < 0 || !n->deps.store)
        return r;
    if ((r = store_node_list(n->deps.store, &(struct store_query){0}, &rows, err)) < 0)
        return r;
    for (size_t i = 0; i < rows.n; i++) {
        uint8_t id[BUS_ID_SIZE];
        if (!str_eq(rows.v[i].kind, "cell") || rows.v[i].heard_ns == 0 ||
            hex_decode(rows.v[i].guid, id, sizeof id) < 0 || known_is_revoked(n, id))
            continue;
        if (lrp_cell_expected(n->deps.lrp, rows.v[i].guid) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}
