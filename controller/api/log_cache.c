/* log_cache.c - the log-cache API: an app's recent log lines.
 *
 * CLIs follow a stream by asking again at once, without a pause, when an answer was empty or held
 * only lines younger than 2 s, which they drop. Such answers are held for a while; who sends a
 * limit (the CLIs do not) gets young lines at once. Unknown keys in an envelope are errors to them.
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/logs/logs.h"

#define LIMIT_DEFAULT 100 /* log-cache's */
#define LIMIT_MAX     1000
#define HOLD_MS       1000
#define YOUNG_NS      (UINT64_C(2) * 1000000000) /* what CLIs drop and ask for again */

int get_log_info(struct call *c) {
    return reply_json(c, 200, json_pack("{s:s,s:s}", "version", "3.0.0", "vm_uptime", "1000"));
}

struct reading {
    json_t *batch;
    const char *guid;
    uint64_t first_ns;
};

static void on_line(void *arg, const struct logs_line *line) {
    struct reading *r = arg;
    char time[24];
    if (!r->first_ns)
        r->first_ns = line->wall_ns;
    snprintf(time, sizeof time, "%llu", (unsigned long long)line->wall_ns);
    char *payload = base64_encode(line->message, line->message_n, false);
    json_array_append_new(
        r->batch,
        json_pack("{s:s,s:s,s:s,s:{},s:{s:o,s:s},s:{s:s,s:s}}", "timestamp", time, "source_id",
                  r->guid, "instance_id", line->source_instance ? line->source_instance : "0",
                  "deprecated_tags", "tags", "source_type", json_text_or_null(line->source_type),
                  "origin", "rep", "log", "payload", payload ? payload : "", "type",
                  line->err ? "ERR" : "OUT"));
    free(payload);
}

/* Go's zero time comes as a negative number; what lies before 1970 is the beginning. */
static int parse_time(struct call *c, const char *key, uint64_t *ret) {
    const char *value = call_query(c, key);
    bool negative = value && *value == '-';
    uint64_t number = 0;
    if (!value || !*value)
        return 0;
    if (parse_u64_slice(slice_of(value + negative), 0, (uint64_t)INT64_MAX + 1, &number) < 0)
        return fail(c, CC_BAD_QUERY_PARAMETER, "%s must be a number of nanoseconds", key);
    *ret = negative ? 0 : number;
    return 0;
}

static bool wants_logs(const struct call *c) {
    bool any_type = false;
    for (size_t i = 0; i < c->query_count; i++)
        if (str_eq(c->queries[i].key, "envelope_types")) {
            if (str_eq(c->queries[i].value, "LOG") || str_eq(c->queries[i].value, "ANY"))
                return true;
            any_type = true;
        }
    return !any_type;
}

int read_logs(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    uint64_t start = 0, end = 0, limit = LIMIT_DEFAULT;
    const char *limit_text = call_query(c, "limit");
    if (load_app(c, c->params[0], NEED_READ, &app) < 0 || parse_time(c, "start_time", &start) < 0 ||
        parse_time(c, "end_time", &end) < 0)
        return -1;
    if (limit_text && parse_u64_slice(slice_of(limit_text), 0, LIMIT_MAX, &limit) < 0)
        return fail(c, CC_BAD_QUERY_PARAMETER, "limit must be between 0 and %d", LIMIT_MAX);
    bool newest_first = str_eq(call_query(c, "descending"), "true");
    struct reading r = {json_array(), app.guid, 0};
    if (wants_logs(c) && limit)
        logs_read(c->api->deps.logs, app.guid, start, end, limit, newest_first, on_line, &r);
    bool following = !newest_first && !end && start && wants_logs(c);
    bool nothing = !r.first_ns || (!limit_text && r.first_ns + YOUNG_NS > clock_wall_ns());
    if (following && nothing && call_hold(c, HOLD_MS)) {
        json_decref(r.batch);
        return 0;
    }
    return reply_json(c, 200, json_pack("{s:{s:o}}", "envelopes", "batch", r.batch));
}
