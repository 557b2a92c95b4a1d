#include "common/base/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define MAX_OPTIONS 128

struct loader {
    const struct config_spec *spec;
    char *target;
    const char *file;
    bool seen[MAX_OPTIONS]; /* set by the command line or the file */
    struct error *err;
    int result;
};

static bool key_eq(const char *a, const char *b) {
    for (; *a && *b; a++, b++) {
        char x = *a == '-' ? '_' : *a, y = *b == '-' ? '_' : *b;
        if (x != y)
            return false;
    }
    return *a == *b;
}

static const struct option *find_option(const struct config_spec *spec, const char *key) {
    for (size_t i = 0; i < spec->option_count; i++)
        if (key_eq(spec->options[i].name, key))
            return &spec->options[i];
    return NULL;
}

static int set_option(const struct option *o, char *target, const char *value, struct error *err) {
    void *at = target + o->offset;
    uint64_t number;
    bool flag;
    int r = 0;
    switch (o->type) {
    case OPTION_STRING: {
        char *text;
        memcpy(&text, at, sizeof text);
        if ((r = str_set(&text, value)) < 0)
            return error_set(err, r, "out of memory");
        memcpy(at, &text, sizeof text);
        return 0;
    }
    case OPTION_BOOL:
        if (parse_bool(value, &flag) < 0)
            return error_set(err, -EINVAL, "%s: \"%s\" is not true or false", o->name, value);
        memcpy(at, &flag, sizeof flag);
        return 0;
    case OPTION_U64:
    case OPTION_BYTES:
        r = o->type == OPTION_U64 ? parse_u64(value, 0, UINT64_MAX, &number)
                                  : parse_bytes(value, &number);
        if (r < 0)
            return error_set(err, r, "%s: \"%s\" is not a %s", o->name, value,
                             o->type == OPTION_U64 ? "number" : "size such as 512M or 2G");
        if (number < o->min || (o->max && number > o->max))
            return error_set(err, -ERANGE, "%s: %s is outside %llu..%llu", o->name, value,
                             (unsigned long long)o->min, (unsigned long long)o->max);
        memcpy(at, &number, sizeof number);
        return 0;
    }
    return -EINVAL;
}

static int on_section_key(struct loader *l, const char *section, const char *key,
                          const char *value) {
    size_t kind = strcspn(section, " ");
    const char *name = section + kind + strspn(section + kind, " \"");
    size_t name_len = strcspn(name, "\"");
    for (size_t i = 0; i < l->spec->section_count; i++) {
        const struct config_section *s = &l->spec->sections[i];
        if (strlen(s->kind) != kind || memcmp(s->kind, section, kind) != 0)
            continue;
        _cleanup_(freep) char *copy = str_ndup(name, name_len);
        return copy ? s->on_key(l->target, copy, key, value, l->err)
                    : error_set(l->err, -ENOMEM, "out of memory");
    }
    return error_set(l->err, -EINVAL, "unknown section [%s]", section);
}

/* inih: returns 1 to go on, 0 to report an error at this line. */
static int on_ini(void *data, const char *section, const char *key, const char *value) {
    struct loader *l = data;
    if (*section) {
        l->result = on_section_key(l, section, key, value);
        return l->result == 0;
    }
    const struct option *o = find_option(l->spec, key);
    if (!o) {
        l->result = error_set(l->err, -EINVAL, "unknown key \"%s\"", key);
        return 0;
    }
    if (l->seen[o - l->spec->options])
        return 1; /* the command line wins */
    l->result = set_option(o, l->target, value, l->err);
    return l->result == 0;
}

static void print_help(const struct config_spec *spec) {
    printf("%s %s - %s\n\nusage: %s [--config FILE] [--KEY=VALUE ...] [--check-config] "
           "[--version]\n\n",
           spec->program, BERTH_VERSION, spec->summary, spec->program);
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct option *o = &spec->options[i];
        printf("  %-24s %s", o->name, o->help);
        if (o->def)
            printf(" [%s]", o->def);
        else if (o->required)
            printf(" (required)");
        putchar('\n');
    }
}

static int load_argument(struct loader *l, const char *arg) {
    const char *eq = strchr(arg, '=');
    if (strncmp(arg, "--", 2) != 0)
        return error_set(l->err, -EINVAL, "\"%s\" is not of the form --key=value (see --help)",
                         arg);
    size_t key_n = eq ? (size_t)(eq - arg - 2) : strlen(arg + 2);
    _cleanup_(freep) char *key = str_ndup(arg + 2, key_n);
    if (!key)
        return error_set(l->err, -ENOMEM, "out of memory");
    const struct option *o = find_option(l->spec, key);
    if (!o)
        return error_set(l->err, -EINVAL, "unknown option --%s (see --help)", key);
    if (!eq && o->type != OPTION_BOOL)
        return error_set(l->err, -EINVAL, "\"%s\" is not of the form --key=value (see --help)",
                         arg);
    l->seen[o - l->spec->options] = true;
    return set_option(o, l->target, eq ? eq + 1 : "yes", l->err);
}

static int load_file(struct loader *l) {
    if (!l->file)
        return 0;
    int line = ini_parse(l->file, on_ini, l);
    if (line == 0)
        return 0;
    if (line < 0)
        return error_set(l->err, -ENOENT, "cannot read %s", l->file);
    if (l->result < 0)
        return error_wrap(l->err, "%s:%d", l->file, line);
    return error_set(l->err, -EINVAL, "%s:%d: not a \"key = value\" line", l->file, line);
}

static int fill_defaults(const struct config_spec *spec, char *target, struct error *err) {
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct option *o = &spec->options[i];
        int r = o->def ? set_option(o, target, o->def, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_required(const struct config_spec *spec, const char *target, struct error *err) {
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct option *o = &spec->options[i];
        const char *text;
        if (!o->required || o->type != OPTION_STRING)
            continue;
        memcpy(&text, target + o->offset, sizeof text);
        if (str_empty(text))
            return error_set(err, -EINVAL, "\"%s\" must be set: %s", o->name, o->help);
    }
    return 0;
}

int config_load(const struct config_spec *spec, void *target, int argc, char **argv,
                struct error *err) {
    struct loader l = {.spec = spec, .target = target, .err = err};
    int outcome = CONFIG_RUN, r;
    if (spec->option_count > MAX_OPTIONS)
        return error_set(err, -E2BIG, "too many options");
    if ((r = fill_defaults(spec, target, err)) < 0)
        return r;
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h"))
            return print_help(spec), CONFIG_DONE;
        if (str_eq(argv[i], "--version"))
            return printf("%s %s\n", spec->program, BERTH_VERSION), CONFIG_DONE;
        if (str_eq(argv[i], "--check-config"))
            outcome = CONFIG_CHECK;
        else if (str_eq(argv[i], "--config") && i + 1 < argc)
            l.file = argv[++i];
        else if (str_starts(argv[i], "--config="))
            l.file = argv[i] + strlen("--config=");
        else if ((r = load_argument(&l, argv[i])) < 0)
            return r;
    }
    if ((r = load_file(&l)) < 0)
        return r;
    if ((r = check_required(spec, target, err)) < 0)
        return r;
    return outcome;
}

void config_free_strings(const struct config_spec *spec, void *target) {
    for (size_t i = 0; i < spec->option_count; i++) {
        if (spec->options[i].type != OPTION_STRING)
            continue;
        void *at = (char *)target + spec->options[i].offset;
        char *text;
        memcpy(&text, at, sizeof text);
        free(text);
        memset(at, 0, sizeof text);
    }
}
