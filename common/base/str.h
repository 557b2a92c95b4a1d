/* str.h - text: NUL-terminated strings for our own, slices for what came from outside, one growing
 * buffer, checked number parsing, hex and base64. No strcpy, strcat, sprintf or atoi anywhere. */
#ifndef COMMON_BASE_STR_H
#define COMMON_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns; not NUL-terminated. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
static inline struct slice slice_of(const char *s) {
    return (struct slice){s, s ? strlen(s) : 0};
}
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII only */
struct slice slice_trim(struct slice s);              /* without leading/trailing space and tab */

static inline bool str_eq(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}
static inline bool str_empty(const char *s) {
    return !s || !*s;
}
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Owned copies (free()), or NULL when out of memory. str_dup(NULL) is NULL. */
char *str_dup(const char *s);
char *str_ndup(const char *s, size_t n);
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Replaces *dst (freed) by a copy of s. Returns 0 or -ENOMEM with *dst untouched. */
int str_set(char **dst, const char *s);

/* Valid UTF-8 without NUL: what every text from outside must be before it is stored or shown. */
bool str_is_utf8(const char *s, size_t n);
/* Constant time for equal n: for secrets. */
bool mem_equal_secret(const void *a, const void *b, size_t n);

/* The whole text must be one decimal number within [min, max]. 0, or -EINVAL / -ERANGE with *ret
 * untouched. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
int parse_u64_slice(struct slice s, uint64_t min, uint64_t max, uint64_t *ret);
/* "64M", "1G", "512MB", "2GB", "100K", "7" (bytes): bytes in *ret. Binary units, any case. */
int parse_bytes(const char *s, uint64_t *ret);
/* "true"/"false"/"yes"/"no"/"on"/"off"/"1"/"0". */
int parse_bool(const char *s, bool *ret);

/* 2n hex digits and a NUL into dst. */
void hex_encode(const void *src, size_t n, char *dst);
/* Exactly n bytes from 2n hex digits; -EINVAL otherwise. */
int hex_decode(const char *src, void *dst, size_t n);
/* Owned base64 text; url: the URL alphabet without padding (RFC 4648 section 5). NULL: no memory.
 */
char *base64_encode(const void *src, size_t n, bool url);
/* Owned bytes in *ret and their number in *ret_n; accepts both alphabets, padding optional. */
int base64_decode(const char *src, size_t n, uint8_t **ret, size_t *ret_n);

/* A growing text; zero-initialise. Always NUL-terminated once something was added. A failed
 * allocation sets `failed` and later calls do nothing, so one check at the end is enough. */
struct strbuf {
    char *p; /* owned; NULL while empty */
    size_t n, cap;
    bool failed;
};
void strbuf_fini(struct strbuf *b); /* guard for _cleanup_ */
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_putc(struct strbuf *b, char c);
/* n more bytes at its end, for the caller to fill. NULL when `failed`. */
void *strbuf_extend(struct strbuf *b, size_t n);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
void strbuf_clear(struct strbuf *b); /* keeps the memory */
/* The text, owned by the caller; the buffer is empty after. NULL when `failed`. */
char *strbuf_take(struct strbuf *b);

#endif
