#include "controller/client/args.h"

#include <errno.h>
#include <string.h>

#include "common/base/str.h"

static const struct flag *find_flag(const struct flag *flags, size_t count, const char *name,
                                    size_t n) {
    for (size_t i = 0; i < count; i++) {
        const char *names[] = {flags[i].name, flags[i].alias};
        for (size_t k = 0; k < 2; k++)
            if (names[k] && strlen(names[k]) == n && memcmp(names[k], name, n) == 0)
                return &flags[i];
    }
    return NULL;
}

int args_parse(int argc, char **argv, const struct flag *flags, size_t flag_count, size_t min,
               size_t max, struct args *ret, struct error *err) {
    struct args out = {0};
    bool only_positional = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (str_eq(arg, "--") && !only_positional) {
            only_positional = true;
            continue;
        }
        if (only_positional || arg[0] != '-' || arg[1] == 0) {
            if (out.count == max || out.count == MAX_POSITIONAL)
                return error_set(err, -EINVAL, "Incorrect Usage: unexpected argument \"%s\"", arg);
            out.positional[out.count++] = arg;
            continue;
        }
        size_t n = str_starts(arg, "--") ? strcspn(arg, "=") : strlen(arg);
        const struct flag *f = find_flag(flags, flag_count, arg, n);
        if (!f)
            return error_set(err, -EINVAL, "Incorrect Usage: unknown flag `%.*s'", (int)n, arg);
        if (f->value && arg[n] == '=') {
            *f->value = arg + n + 1;
        } else if (f->value) {
            if (i + 1 == argc)
                return error_set(err, -EINVAL, "Incorrect Usage: expected argument for flag `%s'",
                                 arg);
            *f->value = argv[++i];
        } else if (arg[n] == '=') {
            return error_set(err, -EINVAL, "Incorrect Usage: flag `%.*s' takes no argument", (int)n,
                             arg);
        }
        if (f->on)
            *f->on = true;
    }
    if (out.count < min)
        return error_set(err, -EINVAL, "Incorrect Usage: a required argument was not provided");
    *ret = out;
    return 0;
}
