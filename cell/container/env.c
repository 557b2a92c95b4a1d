#include "cell/container/env.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/str.h"

/* What Garden sets (guardian, rundmc/processes/unix_env.go). */
#define PATH_ROOT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_USER "/usr/local/bin:/usr/bin:/bin"

void env_free(char **env) {
    for (char **e = env; e && *e; e++)
        free(*e);
    free(env);
}

static void env_freep(char ***env) {
    env_free(*env);
}

const char *env_get(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

static uint16_t host_port(const struct env_facts *facts, uint64_t container) {
    for (size_t i = 0; i < facts->port_count; i++)
        if (facts->ports[i].container == container)
            return facts->ports[i].host;
    return 0;
}

/* Writes what stands for `name`; false when it is no placeholder of ours. */
static bool put_placeholder(struct strbuf *out, struct slice name, const struct env_facts *facts) {
    static const struct slice prefix = SLICE_LIT("host_port:");
    uint64_t number;
    if (slice_eq(name, SLICE_LIT("host_ip"))) {
        strbuf_puts(out, facts->host_ip);
    } else if (slice_eq(name, SLICE_LIT("ip"))) {
        strbuf_puts(out, facts->ip);
    } else if (slice_eq(name, SLICE_LIT("host_port"))) {
        if (facts->port_count)
            strbuf_printf(out, "%u", facts->ports[0].host);
    } else if (name.n > prefix.n && memcmp(name.p, prefix.p, prefix.n) == 0 &&
               parse_u64_slice((struct slice){name.p + prefix.n, name.n - prefix.n}, 1, UINT16_MAX,
                               &number) == 0) {
        uint16_t port = host_port(facts, number);
        if (port)
            strbuf_printf(out, "%u", port);
    } else {
        return false;
    }
    return true;
}

static char *fill(const char *entry, const struct env_facts *facts) {
    if (!str_starts(entry, "CF_INSTANCE_"))
        return str_dup(entry);
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    const char *p = entry;
    for (const char *open; (open = strstr(p, "{{"));) {
        const char *close = strstr(open, "}}");
        strbuf_add(&out, p, (size_t)(open - p));
        if (close &&
            put_placeholder(&out, (struct slice){open + 2, (size_t)(close - open - 2)}, facts)) {
            p = close + 2;
        } else {
            strbuf_putc(&out, '{');
            p = open + 1;
        }
    }
    strbuf_puts(&out, p);
    return strbuf_take(&out);
}

int env_build(const char *const *env, const struct env_facts *facts, char ***ret,
              struct error *err) {
    size_t n = 0;
    for (size_t i = 0; env && env[i]; i++)
        n++;
    _cleanup_(env_freep) char **all = mem_calloc(n + 4, sizeof *all);
    if (!all)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (!(all[i] = fill(env[i], facts)))
            return error_set(err, -ENOMEM, "out of memory");

    size_t user_n = strcspn(facts->user ? facts->user : "", ":");
    _cleanup_(freep) char *user = user_n ? str_ndup(facts->user, user_n) : str_dup("root");
    const struct {
        const char *name, *value;
    } defaults[] = {
        {"PATH", facts->root ? PATH_ROOT : PATH_USER},
        {"HOME", facts->home},
        {"USER", user},
    };
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        if (!env_get(all, defaults[i].name) && user &&
            !(all[n++] = str_printf("%s=%s", defaults[i].name, defaults[i].value)))
            return error_set(err, -ENOMEM, "out of memory");
    if (!user)
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(all);
    return 0;
}
