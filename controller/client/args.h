/* args.h - command lines: flags from a table, the rest positional. */
#ifndef CONTROLLER_CLIENT_ARGS_H
#define CONTROLLER_CLIENT_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

struct flag {
    const char *name;   /* "-o", also matches */
    const char *alias;  /* "--docker-image"; may be NULL */
    const char **value; /* set to the argument's text; NULL for a switch */
    bool *on; /* set for a switch (and for a flag with a value that was given); may be NULL */
};

#define MAX_POSITIONAL 8

struct args {
    const char *positional[MAX_POSITIONAL];
    size_t count;
};

/* "-o X", "-oX" is not taken, "--name X", "--name=X"; "--" ends the flags. Between min and max
 * positional arguments. -EINVAL with a text such as cf's "Incorrect Usage". */
int args_parse(int argc, char **argv, const struct flag *flags, size_t flag_count, size_t min,
               size_t max, struct args *ret, struct error *err);

#endif
