/* route_options.c - what a route may say of how its requests are spread over instances. */
#include "controller/api/resources.h"

#define LOADBALANCING "loadbalancing"

static bool is_balancing(const json_t *value) {
    const char *text = json_string_value(value);
    return text && (str_eq(text, "round-robin") || str_eq(text, "least-connection"));
}

int route_options_check(struct call *c, const json_t *options) {
    const char *key;
    json_t *value;
    int r = 0;
    if (!options)
        return 0;
    if (!json_is_object(options))
        return fail_invalid(c, "Options 'options' is not a valid object");
    json_object_foreach((json_t *)options, key, value) {
        if (!str_eq(key, LOADBALANCING))
            return fail_invalid(c, "Options Unknown field(s): '%.100s'", key);
        if (!json_is_null(value) && !is_balancing(value))
            r = fail_invalid(c, "Options Loadbalancing must be one of '" ROUTE_BALANCINGS
                                "' if present");
    }
    return r;
}

int route_options_problem(const json_t *options, const char *url, char *buf, size_t n) {
    const char *key;
    json_t *value;
    if (!json_is_object(options))
        return snprintf(buf, n, "Route '%.255s': options must be an object", url);
    json_object_foreach((json_t *)options, key, value) {
        if (!str_eq(key, LOADBALANCING))
            return snprintf(buf, n,
                            "Route '%.255s' contains invalid route option '%.100s'. Valid keys: "
                            "'" LOADBALANCING "'",
                            url, key);
        if (!json_is_string(value))
            return snprintf(buf, n,
                            "Invalid value for '" LOADBALANCING "' for Route '%.255s'; Valid "
                            "values are: '" ROUTE_BALANCINGS "'",
                            url);
        if (!is_balancing(value))
            return snprintf(buf, n,
                            "Cannot use " LOADBALANCING " value '%.100s' for Route '%.255s'; "
                            "Valid values are: '" ROUTE_BALANCINGS "'",
                            json_string_value(value), url);
    }
    return 0;
}

int route_options_merge(struct call *c, const json_t *changes, char **stored) {
    const char *key;
    json_t *value;
    if (!json_object_size(changes))
        return 0;
    json_t *now = json_stored(*stored, "{}");
    int bad = now ? 0 : -1;
    json_object_foreach((json_t *)changes, key, value) {
        if (json_is_null(value))
            json_object_del(now, key);
        else
            bad |= json_object_set(now, key, value);
    }
    bool some = json_object_size(now) > 0;
    char *text = !bad && some ? json_dumps(now, JSON_COMPACT) : NULL;
    json_decref(now);
    if (bad || (some && !text))
        return fail_no_memory(c);
    free(*stored);
    *stored = text;
    return 0;
}
