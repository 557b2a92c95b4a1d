#include "common/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/mem.h"

bool slice_eq(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b) {
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
        if (x >= 'A' && x <= 'Z')
            x |= 0x20;
        if (y >= 'A' && y <= 'Z')
            y |= 0x20;
        if (x != y)
            return false;
    }
    return true;
}

struct slice slice_trim(struct slice s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool str_starts(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

char *str_dup(const char *s) {
    return s ? strdup(s) : NULL;
}

char *str_ndup(const char *s, size_t n) {
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *str_printf(const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

int str_set(char **dst, const char *s) {
    char *copy = str_dup(s);
    if (s && !copy)
        return -ENOMEM;
    free(*dst);
    *dst = copy;
    return 0;
}

/* Unicode 15 table 3-7: well-formed byte sequences. */
bool str_is_utf8(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        unsigned char c = p[i];
        size_t more;
        unsigned char lo = 0x80, hi = 0xbf;
        if (c == 0)
            return false;
        if (c < 0x80) {
            i++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            lo = c == 0xe0 ? 0xa0 : 0x80;
            hi = c == 0xed ? 0x9f : 0xbf;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            lo = c == 0xf0 ? 0x90 : 0x80;
            hi = c == 0xf4 ? 0x8f : 0xbf;
        } else {
            return false;
        }
        if (n - i <= more)
            return false;
        if (p[i + 1] < lo || p[i + 1] > hi)
            return false;
        for (size_t k = 2; k <= more; k++)
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

bool mem_equal_secret(const void *a, const void *b, size_t n) {
    return CRYPTO_memcmp(a, b, n) == 0;
}

int parse_u64_slice(struct slice s, uint64_t min, uint64_t max, uint64_t *ret) {
    uint64_t v = 0;
    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        v = v * 10 + digit;
    }
    if (v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret) {
    return s ? parse_u64_slice(slice_of(s), min, max, ret) : -EINVAL;
}

int parse_bytes(const char *s, uint64_t *ret) {
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0},    {"B", 0},  {"K", 10},  {"KB", 10}, {"M", 20},
                 {"MB", 20}, {"G", 30}, {"GB", 30}, {"T", 40},  {"TB", 40}};
    if (!s)
        return -EINVAL;
    size_t digits = strspn(s, "0123456789");
    uint64_t v;
    int r = parse_u64_slice((struct slice){s, digits}, 0, UINT64_MAX, &v);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcasecmp(s + digits, units[i].suffix) != 0)
            continue;
        if (v > (UINT64_MAX >> units[i].shift))
            return -ERANGE;
        *ret = v << units[i].shift;
        return 0;
    }
    return -EINVAL;
}

int parse_bool(const char *s, bool *ret) {
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; s && i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(s, yes[i]) == 0)
            return *ret = true, 0;
        if (strcasecmp(s, no[i]) == 0)
            return *ret = false, 0;
    }
    return -EINVAL;
}

void hex_encode(const void *src, size_t n, char *dst) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = src;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[p[i] >> 4];
        dst[2 * i + 1] = digits[p[i] & 15];
    }
    dst[2 * n] = 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *src, void *dst, size_t n) {
    unsigned char *out = dst;
    if (strlen(src) != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(src[2 * i]), lo = hex_digit(src[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        out[i] = (unsigned char)(hi << 4 | lo);
    }
    return 0;
}

char *base64_encode(const void *src, size_t n, bool url) {
    static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char web[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *digits = url ? web : std;
    const unsigned char *p = src;
    char *out = malloc((n + 2) / 3 * 4 + 1), *q = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned v = (unsigned)p[i] << 16;
        if (left > 1)
            v |= (unsigned)p[i + 1] << 8;
        if (left > 2)
            v |= p[i + 2];
        *q++ = digits[v >> 18];
        *q++ = digits[v >> 12 & 63];
        if (left > 1)
            *q++ = digits[v >> 6 & 63];
        else if (!url)
            *q++ = '=';
        if (left > 2)
            *q++ = digits[v & 63];
        else if (!url)
            *q++ = '=';
    }
    *q = 0;
    return out;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

int base64_decode(const char *src, size_t n, uint8_t **ret, size_t *ret_n) {
    while (n && src[n - 1] == '=')
        n--;
    if (n % 4 == 1)
        return -EINVAL;
    _cleanup_(freep) uint8_t *out = malloc(n * 3 / 4 + 3);
    if (!out)
        return -ENOMEM;
    size_t used = 0;
    unsigned v = 0, bits = 0;
    for (size_t i = 0; i < n; i++) {
        int d = base64_digit(src[i]);
        if (d < 0)
            return -EINVAL;
        v = v << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[used++] = (uint8_t)(v >> bits);
            v &= (1u << bits) - 1;
        }
    }
    if (v != 0)
        return -EINVAL; /* left-over bits must be zero: one text a value */
    out[used] = 0;
    *ret_n = used;
    *ret = TAKE_PTR(out);
    return 0;
}

void strbuf_fini(struct strbuf *b) {
    free(b->p);
    *b = (struct strbuf){0};
}

static bool strbuf_reserve(struct strbuf *b, size_t more) {
    if (b->failed)
        return false;
    if (more >= SIZE_MAX / 2 - b->n) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + more + 1;
    if (need <= b->cap)
        return true;
    size_t cap = MAX(need, MAX(b->cap * 2, (size_t)64));
    char *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n) {
    if (!strbuf_reserve(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void strbuf_puts(struct strbuf *b, const char *s) {
    strbuf_add(b, s, strlen(s));
}

void strbuf_putc(struct strbuf *b, char c) {
    strbuf_add(b, &c, 1);
}

void *strbuf_extend(struct strbuf *b, size_t n) {
    if (!strbuf_reserve(b, n))
        return NULL;
    b->n += n;
    b->p[b->n] = 0;
    return b->p + b->n - n;
}

void strbuf_vprintf(struct strbuf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if (!strbuf_reserve(b, (size_t)n))
        return;
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    b->n += (size_t)n;
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(b, fmt, ap);
    va_end(ap);
}

void strbuf_clear(struct strbuf *b) {
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = 0;
}

char *strbuf_take(struct strbuf *b) {
    if (b->failed) {
        strbuf_fini(b);
        return NULL;
    }
    char *p = b->p ? b->p : strdup("");
    *b = (struct strbuf){0};
    return p;
}
