#include "router/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/fs.h"

#define FILE_NAME "routes.json"

/* Maintenance of the router's host fits. A host port is given out again after some 4,500 further
 * containers of its cell, and while no controller is reached no cell gets any. */
#define MAX_AGE_S      3600
#define RENEW_EVERY_MS 60000

int saved_open(struct saved *s, const struct router_config *config, struct error *err) {
    struct bus_identity identity;
    if (!str_empty(config->controller)) {
        int r = bus_identity_read(config->key_file, &identity, err);
        if (r < 0)
            return r;
        hex_encode(identity.id, sizeof identity.id, s->node);
        mem_wipe(&identity, sizeof identity);
    }
    if (str_empty(config->state_dir))
        return 0;
    if (!(s->path = str_printf("%s/" FILE_NAME, config->state_dir)))
        return error_set(err, -ENOMEM, "out of memory");
    return fs_mkdirs(AT_FDCWD, config->state_dir, 0750, err);
}

void saved_close(struct saved *s) {
    free(s->path);
    s->path = NULL;
}

static int check_age(const struct saved *s, struct error *err) {
    struct stat st;
    if (stat(s->path, &st) < 0)
        return error_set(err, -errno, "%s: %s", s->path, strerror(errno));
    time_t age = time(NULL) - st.st_mtime;
    if (age > MAX_AGE_S)
        return error_set(err, -ESTALE, "%s was last served %lld s ago: too long", s->path,
                         (long long)age);
    return 0;
}

int saved_load(struct saved *s, struct routes *routes, unsigned *ret_skipped, struct error *err) {
    if (!s->path)
        return error_set(err, -ENOENT, "no state_dir is set");
    int r = *s->node ? check_age(s, err) : 0;
    if (r == 0)
        r = routes_load(routes, s->path, s->node, ret_skipped, err);
    s->is_ours = r == 0;
    return r;
}

int saved_write(struct saved *s, const struct routes *routes, struct error *err) {
    int r = s->path ? routes_save(routes, s->path, s->node, err) : 0;
    s->is_ours = r == 0;
    return r;
}

void saved_renew(struct saved *s, uint64_t now_ms) {
    if (!s->path || !s->is_ours || now_ms - s->renewed_ms < RENEW_EVERY_MS)
        return;
    s->renewed_ms = now_ms;
    (void)utimensat(AT_FDCWD, s->path, NULL, 0);
}
