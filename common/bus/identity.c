/* identity.c - the key file of a node: "berth-node-1 GEN ID KEY", all hex. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/str.h"
#include "common/bus/hub.h"
#include "common/bus/node.h"
#include "common/bus/seal.h"

static const char tag[] = "berth-node-1";

/* Takes the next word, which must be `digits` hex digits of n bytes, off *line. */
static int take_hex(char **line, void *ret, size_t n) {
    char *word = strsep(line, " ");
    return word ? hex_decode(word, ret, n) : -EINVAL;
}

static int parse(char *line, struct bus_identity *ret) {
    char *word = strsep(&line, " ");
    if (!str_eq(word, tag) || take_hex(&line, &ret->gen, 1) < 0 ||
        take_hex(&line, ret->id, sizeof ret->id) < 0 ||
        take_hex(&line, ret->key, sizeof ret->key) < 0 || line)
        return -EINVAL;
    return 0;
}

int bus_identity_read(const char *path, struct bus_identity *ret, struct error *err) {
    char *text = NULL;
    struct bus_identity identity = {0};
    int r = fs_read_secret(path, &text, err);
    if (r < 0)
        return r;
    size_t n = strlen(text);
    r = parse(text, &identity);
    mem_wipe(text, n);
    free(text);
    if (r == 0)
        *ret = identity;
    else
        error_set(err, r, "%s is not a node's key file: it must hold \"%s GEN ID KEY\"", path, tag);
    mem_wipe(&identity, sizeof identity);
    return r;
}

void bus_identity_format(const struct bus_identity *identity, char buf[static 128]) {
    char id[2 * BUS_ID_SIZE + 1], key[2 * BUS_KEY_SIZE + 1];
    hex_encode(identity->id, sizeof identity->id, id);
    hex_encode(identity->key, sizeof identity->key, key);
    snprintf(buf, 128, "%s %02x %s %s", tag, identity->gen, id, key);
    mem_wipe(key, sizeof key);
}

int hub_derive_identity(const uint8_t master[BUS_KEY_SIZE], uint8_t gen,
                        const uint8_t id[BUS_ID_SIZE], struct bus_identity *ret) {
    ret->gen = gen;
    memcpy(ret->id, id, sizeof ret->id);
    return seal_derive_node_key(master, id, ret->key);
}
