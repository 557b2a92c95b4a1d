#include "controller/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "controller/api/setup.h"
#include "controller/config.h"
#include "controller/nodes/nodes.h"
#include "controller/store/store.h"

static void wipe_and_free(char **text) {
    if (*text)
        mem_wipe(*text, strlen(*text));
    free(*text);
}

void master_key_wipe(struct master_key *k) {
    mem_wipe(k, sizeof *k);
}

int master_key_read(const char *path, struct master_key *ret, struct error *err) {
    _cleanup_(wipe_and_free) char *line = NULL;
    int r = fs_read_secret(path, &line, err);
    if (r < 0)
        return error_wrap(err, "master key");
    uint64_t gen = 1;
    char *key = line, *space = strchr(line, ' ');
    if (space) {
        *space = '\0';
        key = space + 1;
        if (parse_u64(line, 1, UINT8_MAX, &gen) < 0)
            return error_set(err, -EINVAL, "%s: its generation is not 1..255", path);
    }
    if (hex_decode(key, ret->key, BUS_KEY_SIZE) < 0)
        return error_set(err, -EINVAL, "%s is not a master key of %d hex digits", path,
                         2 * BUS_KEY_SIZE);
    ret->gen = (uint8_t)gen;
    return 0;
}

/* --- the first run --- */

static int make_master_key(const char *path, struct error *err) {
    uint8_t key[BUS_KEY_SIZE];
    char line[2 * BUS_KEY_SIZE + 2];
    if (access(path, F_OK) == 0)
        return 0;
    random_bytes(key, sizeof key);
    hex_encode(key, sizeof key, line);
    line[2 * BUS_KEY_SIZE] = '\n';
    int r = fs_write_atomic(AT_FDCWD, path, 0600, line, 2 * BUS_KEY_SIZE + 1, err);
    mem_wipe(key, sizeof key);
    mem_wipe(line, sizeof line);
    return r;
}

/* The password is on disk before it is in the database: a crash in between costs nothing. */
static int make_admin(const struct controller_config *c, struct store *store, bool *ret_fresh,
                      struct error *err) {
    _cleanup_(freep) char *fresh = str_printf("%s.new", c->password_file);
    char password[26];
    if (!fresh)
        return error_set(err, -ENOMEM, "out of memory");
    setup_password(password);
    const struct setup_params params = {
        .domain = c->default_domain, .password = password, .org = c->org, .space = c->space};
    size_t n = strlen(password);
    password[n] = '\n';
    int r = fs_write_atomic(AT_FDCWD, fresh, 0600, password, n + 1, err);
    password[n] = '\0';
    if (r == 0)
        r = setup_first_run(store, &params, err);
    mem_wipe(password, sizeof password);
    *ret_fresh = r == 0;
    if (r == 0)
        return rename(fresh, c->password_file) < 0
                   ? error_set(err, -errno, "cannot write %s", c->password_file)
                   : 0;
    unlink(fresh);
    return r == -EEXIST ? 0 : r;
}

int keys_init(const struct controller_config *c, bool *ret_fresh, struct error *err) {
    _cleanup_(store_freep) struct store *store = NULL;
    int r;
    if ((r = fs_mkdirs(AT_FDCWD, c->state_dir, 0700, err)) < 0 ||
        (r = make_master_key(c->master_key_file, err)) < 0 ||
        (r = store_open_with_keys(&store, c->state_dir, c->secrets_key_file,
                                  c->previous_secrets_key_file, err)) < 0)
        return r;
    return make_admin(c, store, ret_fresh, err);
}

int keys_check_store(const struct controller_config *c, struct error *err) {
    _cleanup_(store_freep) struct store *store = NULL;
    _cleanup_(freep) char *path = str_printf("%s/berth.db", c->state_dir);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    if (access(path, F_OK) < 0)
        return error_set(err, -errno, "there is no %s", path);
    int r = store_open_with_keys(&store, c->state_dir, c->secrets_key_file,
                                 c->previous_secrets_key_file, err);
    return r < 0 ? r : store_check(store, err);
}

/* --- nodes --- */

/* A new id, or the one that the node has. */
static int choose_id(const struct controller_config *c, bool cell, uint8_t id[BUS_ID_SIZE],
                     struct error *err) {
    if (str_empty(c->node_id)) {
        nodes_make_id(cell ? BERTH__NODE_KIND__NODE_CELL : BERTH__NODE_KIND__NODE_ROUTER, id);
        return 0;
    }
    if (hex_decode(c->node_id, id, BUS_ID_SIZE) < 0 ||
        id[0] != (cell ? NODES_CELL_ID : NODES_ROUTER_ID))
        return error_set(err, -EINVAL, "--node-id=%s is no id of a %s", c->node_id,
                         cell ? "cell" : "router");
    return 0;
}

int keys_make_node(const struct controller_config *c, char id_text[static 2 * BUS_ID_SIZE + 1],
                   struct error *err) {
    _cleanup_(master_key_wipe) struct master_key master = {0};
    struct bus_identity identity;
    uint8_t id[BUS_ID_SIZE];
    char line[128];
    bool cell = str_starts(c->make_node_key, "cell:");
    int r;
    if (!cell && !str_starts(c->make_node_key, "router:"))
        return error_set(err, -EINVAL, "--make-node-key=%s: want cell:NAME or router:NAME",
                         c->make_node_key);
    if ((r = master_key_read(c->master_key_file, &master, err)) < 0 ||
        (r = choose_id(c, cell, id, err)) < 0)
        return r;
    if ((r = hub_derive_identity(master.key, master.gen, id, &identity)) < 0)
        return error_set(err, r, "cannot derive a key");
    bus_identity_format(&identity, line);
    r = fs_write_atomic(AT_FDCWD, c->out, 0600, line, strlen(line), err);
    hex_encode(id, sizeof id, id_text);
    mem_wipe(&identity, sizeof identity);
    mem_wipe(line, sizeof line);
    return r;
}
