/* times.c - created_ats and updated_ats: which rows by when they were made or changed. */
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/api/internal.h"

#define SECOND_NS 1000000000u

/* Time is told in seconds, and compared so. */
static bool span_of(const char *op, const char *text, struct store_span *ret) {
    uint64_t t;
    if (!clock_parse(text, &t))
        return false;
    uint64_t next = t > UINT64_MAX - SECOND_NS ? t : t + SECOND_NS;
    bool from_zero = str_starts(op, "lt"), with = str_empty(op) || op[2] == 'e';
    bool to_end = str_starts(op, "gt");
    ret->from_ns = from_zero ? 0 : with ? t : next;
    ret->to_ns = to_end ? UINT64_MAX : with ? next : t;
    return true;
}

/* "[gte]" -> "gte", "" -> "": what stands behind the parameter's name. */
static bool take_op(const char *tail, char name[16]) {
    size_t n = strlen(tail);
    if (n && (n < 3 || n > 16 || tail[0] != '[' || tail[n - 1] != ']'))
        return false;
    snprintf(name, 16, "%.*s", n ? (int)n - 2 : 0, n ? tail + 1 : "");
    return true;
}

static bool op_known(const char *name) {
    static const char *const ops[] = {"", "lt", "lte", "gt", "gte"};
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        if (str_eq(ops[i], name))
            return true;
    return false;
}

#define REFUSE "The query parameter is invalid: "

static int add_spans(struct call *c, struct listing *l, const char *human, const char *op,
                     const char *text) {
    struct store_span *spans = l->times->spans[l->query.time_count];
    struct store_times *times = &l->times->times[l->query.time_count];
    for (const char *p = text;; p++) {
        char one[32];
        size_t len = strcspn(p, ",");
        snprintf(one, sizeof one, "%.*s", (int)MIN(len, sizeof one - 1), p);
        if (times->n == SPANS_MAX)
            return fail(c, CC_BAD_QUERY_PARAMETER, REFUSE "%s has too many values", human);
        if (!span_of(op, one, &spans[times->n++]))
            return fail(c, CC_BAD_QUERY_PARAMETER,
                        REFUSE "%s has an invalid timestamp format. Timestamps should be formatted "
                               "as 'YYYY-MM-DDThh:mm:ssZ'",
                        human);
        p += len;
        if (!*p)
            break;
    }
    times->spans = spans;
    l->query.times = l->times->times;
    l->query.time_count++;
    return 0;
}

int times_parse(struct call *c, struct listing *l, const struct query_param *q) {
    bool updated = str_starts(q->key, "updated_ats");
    const char *human = updated ? "Updated ats" : "Created ats";
    char op[16];
    if ((!updated && !str_starts(q->key, "created_ats")) ||
        !take_op(q->key + strlen("created_ats"), op))
        return 1;
    if (!op_known(op))
        return fail(c, CC_BAD_QUERY_PARAMETER, REFUSE "%s Invalid relational operator: '%s'", human,
                    op);
    if (*op && strchr(q->value, ','))
        return fail(c, CC_BAD_QUERY_PARAMETER,
                    REFUSE "%s only accepts one value when using a relational operator", human);
    if (!l->times && !(l->times = mem_zalloc(sizeof *l->times)))
        return fail_no_memory(c);
    if (l->query.time_count == TIMES_MAX)
        return fail(c, CC_BAD_QUERY_PARAMETER, REFUSE "too many values");
    l->times->times[l->query.time_count].updated = updated;
    return add_spans(c, l, human, op, q->value);
}
