#include "cell/capacity.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "common/base/mem.h"

#define MIB (1024u * 1024u)

static uint64_t nine_tenths(uint64_t bytes) {
    return bytes / 10 * 9;
}

int capacity_total(const struct settings *s, Berth__Capacity *ret, struct error *err) {
    struct sysinfo host;
    struct statvfs fs;
    if (sysinfo(&host) < 0 || statvfs(s->state_dir, &fs) < 0)
        return error_set(err, -errno, "cannot tell what this host has: %s", strerror(errno));
    berth__capacity__init(ret);
    uint64_t memory = s->memory ? s->memory : nine_tenths((uint64_t)host.totalram * host.mem_unit);
    uint64_t disk = s->disk ? s->disk : nine_tenths((uint64_t)fs.f_blocks * fs.f_frsize);
    ret->memory_mb = memory / MIB;
    ret->disk_mb = disk / MIB;
    ret->containers = (uint32_t)s->max_containers;
    return 0;
}

void capacity_take(Berth__Capacity *left, uint32_t memory_mb, uint32_t disk_mb) {
    left->memory_mb -= MIN(left->memory_mb, (uint64_t)memory_mb);
    left->disk_mb -= MIN(left->disk_mb, (uint64_t)disk_mb);
    left->containers -= left->containers > 0;
}
