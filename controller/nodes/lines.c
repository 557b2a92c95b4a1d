/* lines.c - log lines from cells and routers into the store of recent lines. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"

/* FNV-1a: to know a line again that was taken when its acknowledgement was lost. */
static uint64_t hash_add(uint64_t h, const void *p, size_t n) {
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_line(const Berth__LogLine *line) {
    uint64_t h = 0xcbf29ce484222325u;
    h = hash_add(h, line->app_guid, strlen(line->app_guid));
    h = hash_add(h, line->source_instance, strlen(line->source_instance));
    h = hash_add(h, &line->wall_ns, sizeof line->wall_ns);
    return hash_add(h, line->message.data, line->message.len);
}

/* Numbers begin anew with a session; what was not acknowledged comes again first. */
void lines_session(struct node *node) {
    node->next_line = 0;
    node->resumed = true;
}

/* How many lines at the front came before, in the session that broke. */
static size_t count_repeated(const struct node *node, const Berth__Logs *msg) {
    size_t i = 0;
    while (i < msg->n_lines && i < node->last_line_count &&
           hash_line(msg->lines[i]) == node->last_lines[i])
        i++;
    return i;
}

static void remember(struct node *node, const Berth__Logs *msg) {
    free(node->last_lines);
    node->last_line_count = 0;
    node->last_lines = mem_calloc(msg->n_lines + 1, sizeof *node->last_lines);
    for (size_t i = 0; node->last_lines && i < msg->n_lines; i++)
        node->last_lines[node->last_line_count++] = hash_line(msg->lines[i]);
}

static bool is_app(const char *s) {
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n < GUID_SIZE && s[n] == '\0';
}

/* Is it the node's to tell? Routers serve all apps, and tell of requests; cells run some. */
static bool is_its(const struct node *node, const Berth__LogLine *line, uint64_t now_ms) {
    if (node->peer->kind == BERTH__NODE_KIND__NODE_ROUTER)
        return str_eq(line->source_type, "RTR");
    return lrp_cell_runs_app(node->nodes->deps.lrp, node->peer->id_text, line->app_guid, now_ms);
}

static void refuse_foreign(struct node *node, const Berth__LogLine *line, uint64_t now_ms) {
    struct nodes *n = node->nodes;
    n->lines_foreign++;
    node->foreign++;
    if (!n->deps.on_foreign_lines ||
        (node->foreign_told_ms && now_ms - node->foreign_told_ms < FOREIGN_TELL_MS))
        return;
    n->deps.on_foreign_lines(n->deps.data, node->peer->id_text, node->name, line->app_guid,
                             node->foreign);
    node->foreign = 0;
    node->foreign_told_ms = now_ms;
}

static void take(struct node *node, const Berth__LogLine *line, uint64_t now_ns, uint64_t now_ms) {
    struct nodes *n = node->nodes;
    if (!is_app(line->app_guid) || line->message.len > LOG_LINE_MAX) {
        n->lines_refused++;
        return;
    }
    if (!is_its(node, line, now_ms)) {
        refuse_foreign(node, line, now_ms);
        return;
    }
    bool odd = line->wall_ns == 0 || line->wall_ns > now_ns + CLOCK_AHEAD_NS;
    const struct logs_line put = {.source_type = line->source_type,
                                  .source_instance = line->source_instance,
                                  .err = line->stream == BERTH__LOG_STREAM__LOG_ERR,
                                  .wall_ns = odd ? now_ns : line->wall_ns,
                                  .message = (const char *)line->message.data,
                                  .message_n = line->message.len};
    logs_put(n->deps.logs, line->app_guid, &put);
    n->lines++;
}

void lines_request(struct node *node, struct hub_request *req, const Berth__Logs *msg) {
    struct nodes *n = node->nodes;
    uint64_t now_ns = clock_wall_ns(), now_ms = clock_mono_ms();
    size_t known = 0;
    if (node->resumed)
        known = count_repeated(node, msg);
    else if (msg->first < node->next_line)
        known = (size_t)MIN(node->next_line - msg->first, (uint64_t)msg->n_lines);
    node->resumed = false;
    for (size_t i = known; i < msg->n_lines; i++)
        take(node, msg->lines[i], now_ns, now_ms);
    n->lines_lost += msg->lost_before;
    node->next_line = msg->first + msg->n_lines;
    remember(node, msg);

    Berth__LogsAck ack;
    berth__logs_ack__init(&ack);
    ack.next = node->next_line;
    ack.credit_bytes = CREDIT_BYTES;
    hub_reply(n->hub, req, &ack.base);
}
