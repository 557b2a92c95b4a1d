#include "cell/image/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

/* One read of the source: a handful of TLS records, small enough to stay in the cache. */
#define INPUT_BYTES ((size_t)128 * 1024)
/* A frame may ask for a window of this much memory at most (2^27 is also zstd's own default). */
#define ZSTD_WINDOW_LOG 27
#define MAGIC_BYTES     6

struct inflate {
    inflate_input *input;
    void *data;
    ssize_t (*step)(struct inflate *z, uint8_t *out, size_t n, struct error *err);
    uint8_t *in; /* INPUT_BYTES, owned */
    size_t in_pos, in_n;
    uint64_t taken;
    bool in_ended; /* the input said 0 */
    bool between;  /* gzip members or zstd frames: the input may end here */
    struct inflate_state *gzip;
    ZSTD_DStream *zstd;
};

/* More input behind what is left of it. 1, 0 at the end, negative errno. */
static int fill(struct inflate *z, struct error *err) {
    if (z->in_ended)
        return 0;
    memmove(z->in, z->in + z->in_pos, z->in_n - z->in_pos);
    z->in_n -= z->in_pos;
    z->in_pos = 0;
    ssize_t n = z->input(z->data, z->in + z->in_n, INPUT_BYTES - z->in_n, err);
    if (n < 0)
        return (int)n;
    z->in_ended = n == 0;
    z->in_n += (size_t)n;
    z->taken += (uint64_t)n;
    return n > 0;
}

static int cut_short(struct error *err) {
    return error_set(err, -EBADMSG, "compressed data ends too early");
}

/* A step makes 0 < bytes <= n, or 0 when it needs more input, or fails. */

static ssize_t step_plain(struct inflate *z, uint8_t *out, size_t n, struct error *err) {
    n = MIN(n, z->in_n - z->in_pos);
    memcpy(out, z->in + z->in_pos, n);
    z->in_pos += n;
    return (ssize_t)n;
}

static ssize_t step_gzip(struct inflate *z, uint8_t *out, size_t n, struct error *err) {
    struct inflate_state *g = z->gzip;
    if (z->between && z->in_pos == z->in_n)
        return 0;
    if (z->between) {
        isal_inflate_reset(g);
        g->crc_flag = ISAL_GZIP; /* headers are read, checksums verified */
        z->between = false;
    }
    g->next_in = z->in + z->in_pos;
    g->avail_in = (uint32_t)(z->in_n - z->in_pos);
    g->next_out = out;
    g->avail_out = (uint32_t)n;
    int r = isal_inflate(g);
    z->in_pos = z->in_n - g->avail_in;
    z->between = g->block_state == ISAL_BLOCK_FINISH;
    if (r < 0)
        return error_set(err, -EBADMSG, "malformed gzip data (%s)",
                         r == ISAL_INCORRECT_CHECKSUM ? "wrong checksum" : "invalid stream");
    return (ssize_t)(n - g->avail_out);
}

static ssize_t step_zstd(struct inflate *z, uint8_t *out, size_t n, struct error *err) {
    if (z->between && z->in_pos == z->in_n)
        return 0;
    ZSTD_inBuffer in = {z->in, z->in_n, z->in_pos};
    ZSTD_outBuffer to = {out, n, 0};
    size_t r = ZSTD_decompressStream(z->zstd, &to, &in);
    z->in_pos = in.pos;
    if (ZSTD_isError(r))
        return error_set(err, -EBADMSG, "malformed zstd data (%s)", ZSTD_getErrorName(r));
    z->between = r == 0;
    return (ssize_t)to.pos;
}

static int start_gzip(struct inflate *z, struct error *err) {
    z->gzip = malloc(sizeof *z->gzip);
    if (!z->gzip)
        return error_set(err, -ENOMEM, "out of memory");
    isal_inflate_init(z->gzip);
    z->step = step_gzip;
    return 0;
}

static int start_zstd(struct inflate *z, struct error *err) {
    z->zstd = ZSTD_createDStream();
    if (!z->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
        return error_set(err, -ENOMEM, "out of memory");
    z->step = step_zstd;
    return 0;
}

static bool starts(const struct inflate *z, const char *magic, size_t n) {
    return z->in_n >= n && memcmp(z->in, magic, n) == 0;
}

/* RFC 1952 2.3.1; RFC 8878 3.1.1 and 3.1.2 (skippable frames); others to tell the user. */
static int detect(struct inflate *z, struct error *err) {
    while (z->in_n < MAGIC_BYTES) {
        int r = fill(z, err);
        if (r < 0)
            return r;
        if (r == 0)
            break;
    }
    z->between = true;
    if (starts(z, "\x1f\x8b", 2))
        return start_gzip(z, err);
    if (starts(z, "\x28\xb5\x2f\xfd", 4) ||
        (z->in_n >= 4 && (z->in[0] & 0xf0) == 0x50 && memcmp(z->in + 1, "\x2a\x4d\x18", 3) == 0))
        return start_zstd(z, err);
    if (starts(z, "BZh", 3) || starts(z,
                                      "\xfd"
                                      "7zXZ",
                                      5))
        return error_set(err, -ENOTSUP, "layers compressed with bzip2 or xz are not supported");
    z->step = step_plain;
    return 0;
}

ssize_t inflate_read(struct inflate *z, void *buf, size_t n, struct error *err) {
    int r = z->step ? 0 : detect(z, err);
    if (r < 0)
        return r;
    size_t done = 0;
    while (done < n) {
        size_t before = z->in_pos;
        ssize_t made = z->step(z, (uint8_t *)buf + done, n - done, err);
        if (made < 0)
            return made;
        done += (size_t)made;
        if (made > 0 || z->in_pos != before)
            continue;
        if (z->in_n - z->in_pos == INPUT_BYTES)
            return error_set(err, -EBADMSG, "malformed compressed data (no progress)");
        r = fill(z, err);
        if (r < 0)
            return r;
        if (r == 0 && !z->between)
            return cut_short(err);
        if (r == 0)
            break;
    }
    return (ssize_t)done;
}

uint64_t inflate_taken(const struct inflate *z) {
    return z->taken;
}

int inflate_new(struct inflate **ret, inflate_input *input, void *data, struct error *err) {
    _cleanup_(inflate_freep) struct inflate *z = mem_zalloc(sizeof *z);
    if (!z)
        return error_set(err, -ENOMEM, "out of memory");
    z->input = input;
    z->data = data;
    z->in = malloc(INPUT_BYTES);
    if (!z->in)
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(z);
    return 0;
}

void inflate_free(struct inflate *z) {
    if (!z)
        return;
    ZSTD_freeDStream(z->zstd);
    free(z->gzip);
    free(z->in);
    free(z);
}
