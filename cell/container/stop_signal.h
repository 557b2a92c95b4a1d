/* stop_signal.h - signal names as images write them (STOPSIGNAL). Pure. */
#ifndef CELL_CONTAINER_STOP_SIGNAL_H
#define CELL_CONTAINER_STOP_SIGNAL_H

#include "common/base/error.h"

/* "SIGTERM", "term", "15", "SIGRTMIN+3"; NULL or "": SIGTERM. The number, or -EINVAL. */
int stop_signal_parse(const char *text, struct error *err);

#endif
