#include "tests/unit/image/archive_maker.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512

static void pad(struct strbuf *tar) {
    static const char zeros[BLOCK];
    strbuf_add(tar, zeros, (BLOCK - tar->n % BLOCK) % BLOCK);
}

/* POSIX ustar: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, checksum 148, type 156,
 * link 157, magic 257, device numbers 329 and 337. */
void tar_add(struct strbuf *tar, struct tar_entry e) {
    char h[BLOCK] = {0};
    unsigned sum = 0;
    memcpy(h, e.name, MIN(strlen(e.name), (size_t)100));
    snprintf(h + 100, 8, "%07o", e.mode);
    snprintf(h + 108, 8, "%07o", e.uid);
    snprintf(h + 116, 8, "%07o", e.gid);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)(e.claimed ? e.claimed : e.n));
    snprintf(h + 136, 12, "%011llo", (unsigned long long)e.mtime);
    h[156] = e.type ? e.type : '0';
    if (e.link)
        memcpy(h + 157, e.link, MIN(strlen(e.link), (size_t)100));
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    snprintf(h + 329, 8, "%07o", e.major);
    snprintf(h + 337, 8, "%07o", e.minor);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    strbuf_add(tar, h, BLOCK);
    strbuf_add(tar, e.data, e.n);
    pad(tar);
}

void tar_pax(struct strbuf *tar, const char *key, const void *value, size_t n) {
    struct strbuf record = {0};
    size_t body = strlen(key) + n + 3, len = body;
    char digits[24];
    for (size_t was = 0; was != len;) {
        was = len;
        len = body + (size_t)snprintf(digits, sizeof digits, "%zu", was);
    }
    strbuf_printf(&record, "%zu %s=", len, key);
    strbuf_add(&record, value, n);
    strbuf_putc(&record, '\n');
    tar_add(tar, (struct tar_entry){.name = "pax", .type = 'x', .data = record.p, .n = record.n});
    strbuf_fini(&record);
}

void tar_end(struct strbuf *tar) {
    static const char zeros[2 * BLOCK];
    strbuf_add(tar, zeros, sizeof zeros);
}

static la_ssize_t on_write(struct archive *a, void *arg, const void *p, size_t n) {
    strbuf_add(arg, p, n);
    return (la_ssize_t)n;
}

void compress_to(struct strbuf *out, enum compression how, const void *data, size_t n) {
    if (how == PLAIN) {
        strbuf_add(out, data, n);
        return;
    }
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    archive_write_set_format_raw(a);
    if (how == GZIP)
        archive_write_add_filter_gzip(a);
    else
        archive_write_add_filter_zstd(a);
    archive_write_set_bytes_in_last_block(a, 1);
    archive_write_open(a, out, NULL, on_write, NULL);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "data");
    archive_write_header(a, e);
    archive_write_data(a, data, n);
    archive_write_close(a);
    archive_write_free(a);
    archive_entry_free(e);
}

void digest_of(const void *data, size_t n, char digest[static 72]) {
    unsigned char raw[32];
    EVP_Digest(data, n, raw, NULL, EVP_sha256(), NULL);
    memcpy(digest, "sha256:", 7);
    hex_encode(raw, sizeof raw, digest + 7);
}
