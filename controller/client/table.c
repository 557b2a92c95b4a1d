#include "controller/client/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define GAP 3

struct table {
    size_t columns;
    size_t count, cap;
    char **cells; /* owned texts, row by row */
};

static void append(struct table *t, char *text) {
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        char **cells = mem_resize(t->cells, cap, sizeof *cells);
        if (!cells) {
            free(text);
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count++] = text;
}

struct table *table_new(const char *const *header, size_t columns) {
    struct table *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->columns = columns;
    for (size_t i = 0; header && i < columns; i++)
        append(t, str_dup(header[i]));
    return t;
}

void table_add(struct table *t, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    append(t, text);
}

/* Terminal columns of UTF-8 text, counting one for each code point. */
static size_t width_of(const char *s) {
    size_t n = 0;
    for (; s && *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_print(const struct table *t) {
    _cleanup_(freep) size_t *width = mem_calloc(t->columns, sizeof *width);
    if (!width)
        return;
    for (size_t i = 0; i < t->count; i++)
        width[i % t->columns] = MAX(width[i % t->columns], width_of(t->cells[i]));
    for (size_t i = 0; i < t->count; i++) {
        const char *text = t->cells[i] ? t->cells[i] : "";
        bool last = (i + 1) % t->columns == 0;
        fputs(text, stdout);
        if (!last)
            printf("%*s", (int)(width[i % t->columns] - width_of(text) + GAP), "");
        else
            putchar('\n');
    }
}

void table_free(struct table *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}
