#include "cell/container/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "common/base/mem.h"

#define MAGIC "berthpt1"

/* The head of the file; behind it a uint32_t for each port number: when it was given back, in
 * seconds since 1970. Host byte order: it does not leave the host. */
struct head {
    char magic[8];
    char boot[40];
    uint32_t next;
    uint32_t unused[3];
};

enum { NEVER = 0, PORTS_ALL = UINT16_MAX + 1 };
static const uint32_t in_use = UINT32_MAX;

/* Linux writes changed pages out after 30 s (vm.dirty_expire_centisecs): no cell starts more
 * containers in that time. */
#define CRASH_SKIP 256u

static int store(const struct ports *p, size_t at, uint32_t value, struct error *err) {
    ssize_t n = pwrite(p->fd, &value, sizeof value, (off_t)at);
    return n == sizeof value ? 0 : error_set(err, n < 0 ? -errno : -EIO, "cannot keep a port");
}

static int store_port(const struct ports *p, unsigned port, uint32_t value, struct error *err) {
    return store(p, sizeof(struct head) + port * sizeof value, value, err);
}

static int store_head(const struct ports *p, const char *boot_id, struct error *err) {
    struct head head = {.magic = MAGIC, .next = p->first + p->pool.next};
    strncpy(head.boot, boot_id, sizeof head.boot - 1);
    ssize_t n = pwrite(p->fd, &head, sizeof head, 0);
    return n == sizeof head ? 0 : error_set(err, n < 0 ? -errno : -EIO, "cannot keep the ports");
}

static void read_times(struct ports *p, bool booted, uint64_t now_ms, uint64_t wall_s) {
    struct pool *pool = &p->pool;
    _cleanup_(freep) uint32_t *times = mem_calloc(PORTS_ALL, sizeof *times);
    ssize_t n = times ? pread(p->fd, times, PORTS_ALL * sizeof *times, sizeof(struct head)) : 0;
    for (unsigned i = 0; n > 0 && i < pool->count; i++) {
        uint32_t given = times[p->first + i];
        uint64_t age_ms = given < wall_s ? (wall_s - given) * 1000 : 0; /* 0: the clock went back */
        if (given == NEVER)
            continue;
        if (given == in_use) /* until now, at the latest; or until the last boot */
            age_ms = booted ? now_ms : 0;
        if (age_ms < pool->rest_ms)
            pool_rest(pool, i, now_ms - age_ms);
    }
}

int ports_open(struct ports *p, const char *path, unsigned first, unsigned count, uint64_t rest_ms,
               const char *boot_id, uint64_t now_ms, uint64_t wall_s, struct error *err) {
    struct head head = {.next = 0};
    *p = (struct ports){.first = first, .fd = -1};
    if (pool_init(&p->pool, count, rest_ms) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    p->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (p->fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
    bool known = pread(p->fd, &head, sizeof head, 0) == sizeof head &&
                 memcmp(head.magic, MAGIC, sizeof head.magic) == 0;
    bool booted = strncmp(head.boot, boot_id, sizeof head.boot) != 0;
    if (known) {
        read_times(p, booted, now_ms, wall_s);
        if (head.next >= first && head.next < first + count)
            p->pool.next = head.next - first;
        if (booted)
            p->pool.next = (p->pool.next + MIN(CRASH_SKIP, count / 8)) % count;
    } else if (ftruncate(p->fd, 0) < 0) {
        return error_set(err, -errno, "cannot empty %s: %s", path, strerror(errno));
    }
    (void)store_head(p, boot_id, NULL); /* no space now: ports_take() will tell */
    return 0;
}

void ports_close(struct ports *p) {
    pool_fini(&p->pool);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

int ports_take(struct ports *p, uint64_t now_ms, struct error *err) {
    int n = pool_take(&p->pool, now_ms);
    if (n < 0)
        return error_set(err, n, "all %u host ports are in use%s", p->pool.count,
                         n == -EAGAIN ? " or were a moment ago" : "");
    unsigned port = p->first + (unsigned)n;
    int r = store_port(p, port, in_use, err);
    if (r == 0)
        r = store(p, offsetof(struct head, next), p->first + p->pool.next, err);
    if (r < 0) {
        pool_give(&p->pool, (unsigned)n, now_ms);
        return r;
    }
    return (int)port;
}

int ports_claim(struct ports *p, unsigned port) {
    if (port < p->first)
        return -ERANGE;
    int r = pool_claim(&p->pool, port - p->first);
    if (r == 0)
        (void)store_port(p, port, in_use, NULL);
    return r;
}

void ports_give(struct ports *p, unsigned port, uint64_t now_ms, uint64_t wall_s) {
    if (port < p->first || port - p->first >= p->pool.count) /* of an older configuration */
        return;
    pool_give(&p->pool, port - p->first, now_ms);
    if (p->fd >= 0)
        (void)store_port(p, port, (uint32_t)wall_s + 1, NULL); /* failed: as if in use until then */
}
