/* capacity.h - how much this host can give to containers. */
#ifndef CELL_CAPACITY_H
#define CELL_CAPACITY_H

#include "bus.pb-c.h"

#include "cell/settings.h"
#include "common/base/error.h"

/* As configured; what is not, nine tenths of what the host has. state_dir must exist. */
int capacity_total(const struct settings *s, Berth__Capacity *ret, struct error *err);
/* `total` without what an instance of this size holds; never below zero. */
void capacity_take(Berth__Capacity *left, uint32_t memory_mb, uint32_t disk_mb);

#endif
