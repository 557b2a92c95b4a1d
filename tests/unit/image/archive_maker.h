/* archive_maker.h - tars made by hand, byte by byte, so that they can be as wrong as an attacker
 * likes; and their compression. */
#ifndef TESTS_UNIT_IMAGE_ARCHIVE_MAKER_H
#define TESTS_UNIT_IMAGE_ARCHIVE_MAKER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "common/base/str.h"

struct tar_entry {
    const char *name;
    char type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' dir, '6' fifo */
    unsigned mode, uid, gid;
    int64_t mtime;
    const char *link;
    const void *data;
    size_t n;
    uint64_t claimed; /* size in the header, if not n */
    unsigned major, minor;
};

void tar_add(struct strbuf *tar, struct tar_entry e);
/* A pax header for the next entry, of one attribute. */
void tar_pax(struct strbuf *tar, const char *key, const void *value, size_t n);
void tar_end(struct strbuf *tar);

enum compression { PLAIN, GZIP, ZSTD };
void compress_to(struct strbuf *out, enum compression how, const void *data, size_t n);
/* "sha256:<hex>" */
void digest_of(const void *data, size_t n, char digest[static 72]);

#endif
