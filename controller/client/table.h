/* table.h - columns of text as cf users know them: padded to the widest cell, three spaces apart.
 */
#ifndef CONTROLLER_CLIENT_TABLE_H
#define CONTROLLER_CLIENT_TABLE_H

#include <stddef.h>

struct table; /* cells are copied */

/* `header` is a NULL-terminated list of column names; NULL with `columns` > 0: no header line. */
struct table *table_new(const char *const *header, size_t columns);
/* One cell after the other, row by row; NULL is "". */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t);
void table_free(struct table *t);

#endif
