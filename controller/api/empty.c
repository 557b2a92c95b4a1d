/* empty.c - what this platform has none of, but clients ask for. */
#include "controller/api/resources.h"

int list_nothing(struct call *c) {
    return reply_empty_list(c);
}
