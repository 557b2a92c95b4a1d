/* config.h - one INI file a daemon, every key also as --key=value; unknown keys are errors.
 *
 * A daemon describes its keys in one table; parsing, defaults, ranges, --help and --check-config
 * come from it. Keys use '_' or '-' alike. The command line wins over the file; there, a bool's
 * bare --key means yes.
 *
 *     # berth-router --config /etc/berth/router.ini --listen=127.0.0.1:8080
 *     listen = 127.0.0.1:8080
 *     [registry docker.io]           ; a named section, see config_section
 *     mirror = https://127.0.0.1:5000
 */
#ifndef COMMON_BASE_CONFIG_H
#define COMMON_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum option_type {
    OPTION_STRING, /* char *: owned by the target, freed by config_free_strings(); NULL when unset
                    */
    OPTION_BOOL,   /* bool */
    OPTION_U64,    /* uint64_t within [min, max] */
    OPTION_BYTES,  /* uint64_t within [min, max]; "64M" and the like */
};

struct option {
    const char *name; /* as in the file, with '_' */
    enum option_type type;
    size_t offset;     /* of the member in the target struct: offsetof() */
    const char *def;   /* default as text, or NULL */
    uint64_t min, max; /* for U64 and BYTES; max 0 means no bound */
    bool required;
    const char *help; /* one line */
};

/* A section that may stand several times: "[registry docker.io]" gives kind "registry" and name
 * "docker.io". on_key is called for each of its keys in the order of the file; it returns
 * -EINVAL with *err filled for a key or value it does not take. */
struct config_section {
    const char *kind;
    int (*on_key)(void *target, const char *name, const char *key, const char *value,
                  struct error *err);
};

struct config_spec {
    const char *program; /* "berth-cell" */
    const char *summary; /* one line for --help */
    const struct option *options;
    size_t option_count;
    const struct config_section *sections; /* may be NULL */
    size_t section_count;
};

enum config_outcome {
    CONFIG_RUN,   /* go on */
    CONFIG_CHECK, /* --check-config was given and all is well: say so and exit 0 */
    CONFIG_DONE,  /* --help or --version was printed: exit 0 */
};

/* Fills *target (zeroed by the caller). Returns an enum config_outcome, or a negative errno with
 * *err naming file, line and key. `argv` may hold --config FILE or --config=FILE. */
int config_load(const struct config_spec *spec, void *target, int argc, char **argv,
                struct error *err);
/* Frees every OPTION_STRING of the target. */
void config_free_strings(const struct config_spec *spec, void *target);

#ifndef BERTH_VERSION /* deploy/package gives the package's */
#define BERTH_VERSION "0.1.0"
#endif

#endif
