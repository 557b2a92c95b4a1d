#include "cell/instance_env.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
/* Without memory an element is left out of the table (its hh.tbl stays NULL), nothing exits. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "common/base/mem.h"
#include "common/base/str.h"

/* Variables in order of first mention; a later value replaces an earlier one. */
struct var {
    char *name, *value; /* owned */
    UT_hash_handle hh;  /* keeps the order of insertion */
};

static void vars_free(struct var **vars) {
    struct var *v, *tmp;
    HASH_ITER (hh, *vars, v, tmp) {
        HASH_DEL(*vars, v);
        free(v->name);
        free(v->value);
        free(v);
    }
}

static int set(struct var **vars, const char *name, const char *value, struct error *err) {
    struct var *v;
    if (str_empty(name) || strchr(name, '='))
        return error_set(err, -EINVAL, "\"%s\" is no name for an environment variable", name);
    HASH_FIND_STR(*vars, name, v);
    if (v)
        return str_set(&v->value, value) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
    v = mem_zalloc(sizeof *v);
    if (!v || !(v->name = str_dup(name)) || !(v->value = str_dup(value))) {
        if (v)
            free(v->name);
        free(v);
        return error_set(err, -ENOMEM, "out of memory");
    }
    HASH_ADD_KEYPTR(hh, *vars, v->name, strlen(v->name), v);
    if (v->hh.tbl)
        return 0;
    free(v->name);
    free(v->value);
    free(v);
    return error_set(err, -ENOMEM, "out of memory");
}

static int setf(struct var **vars, struct error *err, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int setf(struct var **vars, struct error *err, const char *name, const char *fmt, ...) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&text, fmt, ap);
    va_end(ap);
    return text.failed ? error_set(err, -ENOMEM, "out of memory") : set(vars, name, text.p, err);
}

/* What Diego's launcher adds to it before the app starts. */
static int set_vcap_application(struct var **vars, const Berth__Assignment *a, struct error *err) {
    const Berth__DesiredLrp *lrp = a->lrp;
    json_t *object = json_loads(lrp->vcap_application, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    int r = json_object_set_new(object, "host", json_string("0.0.0.0"));
    r |= json_object_set_new(object, "instance_id", json_string(a->instance_guid));
    r |= json_object_set_new(object, "instance_index", json_integer(a->index));
    if (lrp->n_ports)
        r |= json_object_set_new(object, "port", json_integer(lrp->ports[0]));
    char *text = r == 0 ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    r = text ? set(vars, "VCAP_APPLICATION", text, err) : error_set(err, -ENOMEM, "out of memory");
    free(text);
    return r;
}

/* [{"external":61001,"internal":8080}], the external ports as placeholders. */
static int set_instance_ports(struct var **vars, const Berth__DesiredLrp *lrp, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    strbuf_putc(&text, '[');
    for (size_t i = 0; i < lrp->n_ports; i++)
        strbuf_printf(&text, "%s{\"external\":{{host_port:%u}},\"internal\":%u}", i ? "," : "",
                      lrp->ports[i], lrp->ports[i]);
    strbuf_putc(&text, ']');
    return text.failed ? error_set(err, -ENOMEM, "out of memory")
                       : set(vars, "CF_INSTANCE_PORTS", text.p, err);
}

static int set_network(struct var **vars, const Berth__DesiredLrp *lrp, struct error *err) {
    bool any = lrp->n_ports > 0;
    int r;
    if ((r = set(vars, "CF_INSTANCE_IP", "{{host_ip}}", err)) < 0 ||
        (r = set(vars, "CF_INSTANCE_INTERNAL_IP", "{{ip}}", err)) < 0 ||
        (r = set(vars, "CF_INSTANCE_PORT", any ? "{{host_port}}" : "", err)) < 0 ||
        (r = set(vars, "CF_INSTANCE_ADDR", any ? "{{host_ip}}:{{host_port}}" : "", err)) < 0)
        return r;
    return set_instance_ports(vars, lrp, err);
}

static int set_instance(struct var **vars, const Berth__Assignment *a, struct error *err) {
    const Berth__DesiredLrp *lrp = a->lrp;
    struct var *services;
    int r;
    if ((r = set(vars, "INSTANCE_GUID", a->instance_guid, err)) < 0 ||
        (r = setf(vars, err, "INSTANCE_INDEX", "%u", a->index)) < 0 ||
        (r = set(vars, "CF_INSTANCE_GUID", a->instance_guid, err)) < 0 ||
        (r = setf(vars, err, "CF_INSTANCE_INDEX", "%u", a->index)) < 0)
        return r;
    if (lrp->n_ports && (r = setf(vars, err, "PORT", "%u", lrp->ports[0])) < 0)
        return r;
    if (lrp->memory_mb && (r = setf(vars, err, "MEMORY_LIMIT", "%um", lrp->memory_mb)) < 0)
        return r;
    HASH_FIND_STR(*vars, "VCAP_SERVICES", services);
    if (!services && (r = set(vars, "VCAP_SERVICES", "{}", err)) < 0) /* it must exist */
        return r;
    return 0;
}

static int collect(struct var **vars, const Berth__Assignment *a, struct error *err) {
    int r;
    for (size_t i = 0; i < a->lrp->n_env; i++)
        if ((r = set(vars, a->lrp->env[i]->name, a->lrp->env[i]->value, err)) < 0)
            return r;
    if ((r = set_instance(vars, a, err)) < 0 || (r = set_vcap_application(vars, a, err)) < 0)
        return r;
    return set_network(vars, a->lrp, err);
}

int instance_env_build(char ***ret, const Berth__Assignment *assignment, struct error *err) {
    _cleanup_(vars_free) struct var *vars = NULL;
    struct var *v, *tmp;
    size_t n = 0;
    int r = collect(&vars, assignment, err);
    if (r < 0)
        return r;
    _cleanup_(instance_env_freep) char **env = mem_calloc(HASH_COUNT(vars) + 1, sizeof *env);
    if (!env)
        return error_set(err, -ENOMEM, "out of memory");
    HASH_ITER (hh, vars, v, tmp)
        if (!(env[n++] = str_printf("%s=%s", v->name, v->value)))
            return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(env);
    return 0;
}

void instance_env_free(char **env) {
    for (char **e = env; e && *e; e++)
        free(*e);
    free(env);
}
