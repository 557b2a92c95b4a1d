/* records.h - what of an instance must outlive the agent, one small file each: DIR/<guid>.
 *
 * Written by rename, without fsync unless asked: most have to survive the agent, not the host, for
 * with the host go the containers. A damaged file counts as absent. */
#ifndef CELL_RECORDS_H
#define CELL_RECORDS_H

#include "cell.pb-c.h"

#include <stdbool.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct records;

int records_open(struct records **ret, const char *dir, struct error *err); /* makes DIR */
void records_free(struct records *r);
DEFINE_FREEP(records)

/* `durable`: it survives the host, too. */
int records_keep(struct records *r, const char *guid, const Berth__InstanceRecord *record,
                 bool durable, struct error *err);
/* The same of a packed record; any thread. */
int records_keep_packed(struct records *r, const char *guid, const void *bytes, size_t n,
                        bool durable, struct error *err);
/* Owned: berth__instance_record__free_unpacked(). NULL when there is none. */
Berth__InstanceRecord *records_read(struct records *r, const char *guid);
void records_forget(struct records *r, const char *guid);
/* Every guid that has a file. `each` may forget it. */
int records_each(struct records *r, void (*each)(void *arg, const char *guid), void *arg,
                 struct error *err);

#endif
