/* Whatever the tar, unpacking ends with a layer or a reason in printable text, and nothing outside
 * the layer's directory changes. In memory (/dev/shm): a layer is files. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cell/image/unpack.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct input {
    const uint8_t *p;
    size_t n;
};

static ssize_t next(void *arg, const void **block, struct error *err) {
    struct input *in = arg;
    size_t n = MIN(in->n, (size_t)1024);
    *block = in->p;
    in->p += n;
    in->n -= n;
    return (ssize_t)n;
}

static bool is_expected(int r) {
    return r == 0 || r == -EBADMSG || r == -EFBIG ||
           (geteuid() != 0 && (r == -EPERM || r == -EACCES)) ||
           r == -ENOSPC /* a huge attribute */ || r == -ENOTSUP ||
           r == -EPERM /* attributes of what is immutable, on this file system */;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char outer[] = "/dev/shm/berth-fuzz-XXXXXX";
    struct error err = {0}, ignored;
    struct unpack_result made;
    struct stat st;
    struct input in = {data, size};
    assert(mkdtemp(outer));
    int top = open(outer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(mkdirat(top, "layer", 0755) == 0);
    struct unpack_order order = {
        .root = openat(top, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .next = next,
        .data = &in,
        .max_bytes = 1 << 20,
        .max_entries = 100,
    };
    int r = unpack_layer(&order, &made, &err);
    assert(is_expected(r));
    for (const char *p = err.msg; r < 0 && *p; p++)
        assert(*p >= ' ' && *p <= '~');
    assert(r != 0 || made.entries <= order.max_entries);
    assert(fstat(top, &st) == 0 && st.st_nlink == 3); /* the layer, and nothing beside it */
    close(order.root);
    close(top);
    assert(fs_remove_tree(AT_FDCWD, outer, &ignored) == 0);
    return 0;
}
