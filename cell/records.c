#include "cell/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/str.h"

#define RECORD_MAX (64u << 10) /* bytes: an outcome with its reason is some 2 kB */

struct records {
    int dir;
};

int records_open(struct records **ret, const char *dir, struct error *err) {
    int r = fs_mkdirs(AT_FDCWD, dir, 0700, err);
    if (r < 0)
        return r;
    _cleanup_(close_fdp) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", dir, strerror(errno));
    struct records *records = mem_zalloc(sizeof *records);
    if (!records)
        return error_set(err, -ENOMEM, "out of memory");
    records->dir = TAKE_FD(fd);
    *ret = records;
    return 0;
}

void records_free(struct records *r) {
    if (!r)
        return;
    close_fdp(&r->dir);
    free(r);
}

int records_keep_packed(struct records *r, const char *guid, const void *bytes, size_t n,
                        bool durable, struct error *err) {
    return (durable ? fs_write_atomic : fs_write_quick)(r->dir, guid, 0600, bytes, n, err);
}

int records_keep(struct records *r, const char *guid, const Berth__InstanceRecord *record,
                 bool durable, struct error *err) {
    size_t n = berth__instance_record__get_packed_size(record);
    _cleanup_(freep) uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes)
        return error_set(err, -ENOMEM, "out of memory");
    berth__instance_record__pack(record, bytes);
    return records_keep_packed(r, guid, bytes, n, durable, err);
}

Berth__InstanceRecord *records_read(struct records *r, const char *guid) {
    _cleanup_(freep) char *bytes = NULL;
    size_t n;
    if (fs_read(r->dir, guid, RECORD_MAX, &bytes, &n, NULL) < 0 || n == 0)
        return NULL;
    return berth__instance_record__unpack(NULL, n, (const uint8_t *)bytes);
}

void records_forget(struct records *r, const char *guid) {
    unlinkat(r->dir, guid, 0);
}

int records_each(struct records *r, void (*each)(void *arg, const char *guid), void *arg,
                 struct error *err) {
    int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int saved = errno;
        close_fdp(&fd);
        return error_set(err, -saved, "cannot list instance records: %s", strerror(saved));
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        if (str_ends(e->d_name, ".tmp"))
            unlinkat(r->dir, e->d_name, 0); /* an agent was killed while it wrote */
        else
            each(arg, e->d_name);
    }
    closedir(d);
    return 0;
}
