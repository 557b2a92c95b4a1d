#include "router/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    CHUNK_SIZE,       /* hex digits; at least one */
    CHUNK_BLANK,      /* blanks after the digits */
    CHUNK_EXTENSION,  /* after ';', ignored */
    CHUNK_SIZE_LF,    /* CR seen */
    CHUNK_DATA,       /* `left` bytes */
    CHUNK_DATA_CR,    /* the CRLF after them */
    CHUNK_DATA_LF,    /* ... */
    TRAILER_LINE,     /* at the start of a line */
    TRAILER_IN_LINE,  /* within one */
    TRAILER_LINE_LF,  /* CR seen in a line */
    TRAILER_FINAL_LF, /* CR seen at the start of a line: LF ends the message */
};

#define MAX_DIGITS 15 /* 2^60 bytes; more is an attack (RFC 9112 7.1: anticipate overflow) */

void body_init(struct body *b, enum body_kind kind, uint64_t length) {
    *b = (struct body){.kind = kind, .left = length, .state = CHUNK_SIZE};
    b->done = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
    if (kind == BODY_CHUNKED)
        b->left = 0;
}

void body_fini(struct body *b) {
    if (!b->trailers)
        return;
    strbuf_fini(b->trailers);
    free(b->trailers);
    b->trailers = NULL;
}

static int hex_value(unsigned char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(unsigned char c) {
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int step_size(struct body *b, unsigned char c) {
    int v = hex_value(c);
    if (v >= 0) {
        if (++b->digits > MAX_DIGITS)
            return -EBADMSG;
        b->left = b->left << 4 | (unsigned)v;
        return 0;
    }
    if (!b->digits)
        return -EBADMSG;
    if (c == '\r') {
        b->state = CHUNK_SIZE_LF;
        return 0;
    }
    if (c != ';' && c != ' ' && c != '\t')
        return -EBADMSG;
    b->state = c == ';' ? CHUNK_EXTENSION : CHUNK_BLANK;
    return ++b->extra > CHUNK_EXTRA_MAX ? -EMSGSIZE : 0;
}

static int step_extension(struct body *b, unsigned char c) {
    if (c == '\r')
        b->state = CHUNK_SIZE_LF;
    else if (b->state == CHUNK_BLANK && c == ';')
        b->state = CHUNK_EXTENSION;
    else if (b->state == CHUNK_BLANK ? c != ' ' && c != '\t' : !is_text(c))
        return -EBADMSG;
    return ++b->extra > CHUNK_EXTRA_MAX ? -EMSGSIZE : 0;
}

static int keep_trailer_byte(struct body *b, char c) {
    if (++b->trailer_bytes > TRAILER_MAX)
        return -EMSGSIZE;
    if (!b->keep_trailers)
        return 0;
    if (!b->trailers && !(b->trailers = mem_zalloc(sizeof *b->trailers)))
        return -ENOMEM;
    strbuf_putc(b->trailers, c);
    return b->trailers->failed ? -ENOMEM : 0;
}

static int step_trailer(struct body *b, unsigned char c) {
    switch (b->state) {
    case TRAILER_LINE:
        if (c == '\r') {
            b->state = TRAILER_FINAL_LF;
            return 0;
        }
        if (c == ' ' || c == '\t' || !is_text(c))
            return -EBADMSG;
        b->state = TRAILER_IN_LINE;
        break;
    case TRAILER_IN_LINE:
        if (c == '\r')
            b->state = TRAILER_LINE_LF;
        else if (!is_text(c))
            return -EBADMSG;
        break;
    case TRAILER_LINE_LF:
        if (c != '\n')
            return -EBADMSG;
        b->state = TRAILER_LINE;
        break;
    default: /* TRAILER_FINAL_LF */
        b->done = c == '\n';
        return b->done ? 0 : -EBADMSG;
    }
    return keep_trailer_byte(b, (char)c);
}

/* One byte of framing, that is of everything but chunk data. */
static int step_framing(struct body *b, unsigned char c) {
    switch (b->state) {
    case CHUNK_SIZE:
        return step_size(b, c);
    case CHUNK_BLANK:
    case CHUNK_EXTENSION:
        return step_extension(b, c);
    case CHUNK_SIZE_LF:
        b->state = b->left ? CHUNK_DATA : TRAILER_LINE;
        b->digits = 0;
        return c == '\n' ? 0 : -EBADMSG;
    case CHUNK_DATA_CR:
        b->state = CHUNK_DATA_LF;
        return c == '\r' ? 0 : -EBADMSG;
    case CHUNK_DATA_LF:
        b->state = CHUNK_SIZE;
        return c == '\n' ? 0 : -EBADMSG;
    default:
        return step_trailer(b, c);
    }
}

static ssize_t decode_chunked(struct body *b, char *p, size_t n, struct slice *data) {
    char *end = NULL; /* of the data brought together so far */
    size_t i = 0;
    while (i < n && !b->done) {
        if (b->state != CHUNK_DATA) {
            int r = step_framing(b, (unsigned char)p[i]);
            if (r < 0)
                return r;
            i++;
            continue;
        }
        size_t take = b->left < n - i ? (size_t)b->left : n - i;
        if (!end) {
            data->p = p + i;
            end = p + i;
        } else {
            memmove(end, p + i, take);
        }
        end += take;
        i += take;
        b->left -= take;
        if (!b->left)
            b->state = CHUNK_DATA_CR;
    }
    data->n = end ? (size_t)(end - data->p) : 0;
    b->total += data->n;
    return (ssize_t)i;
}

ssize_t body_decode(struct body *b, char *p, size_t n, struct slice *ret_data) {
    *ret_data = (struct slice){p, 0};
    if (b->done)
        return 0;
    if (b->kind == BODY_CHUNKED)
        return decode_chunked(b, p, n, ret_data);
    if (b->kind == BODY_LENGTH) {
        if (n > b->left)
            n = (size_t)b->left;
        b->left -= n;
        b->done = !b->left;
    }
    ret_data->n = n;
    b->total += n;
    return (ssize_t)n;
}

bool body_end_of_stream(struct body *b) {
    if (b->kind == BODY_UNTIL_CLOSE)
        b->done = true;
    return b->done;
}
