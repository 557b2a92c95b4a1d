/* cell_driver.c - a controller for one cell, driven by a script:
 *
 *     cell_driver CONTROL_PORT LOGS_PORT KEY_FILE
 *
 * Writes the cell's key to KEY_FILE unless it exists (the master key is a constant). Reads commands
 * from stdin, a line each:
 *     want JSON     this assignment is in the cell's set from now on
 *     drop GUID     and this is not any more
 *     logs off|on   answer no Logs until told again
 * and tells what it hears, a line each:
 *     session WATCH|REPORT|LOGS NAME
 *     full                               (a full report begins)
 *     report GUID STATE exit=N oom=B fault=B port=N reason=[...] detail=[...]
 *     free MEMORY_MB CONTAINERS
 *     evacuating                         (the cell is to be emptied; each time it says so)
 *     log APP SOURCE INDEX OUT|ERR TEXT
 *     lost N
 * An instance that has ended leaves the set. The cell's Watch is answered only once its full report
 * is in, as a controller does. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "common/base/fs.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/hub.h"

#define WATCH_WAIT_MS 1000
#define CREDIT        (192u << 10)

struct item {
    char *guid;
    Berth__Assignment *assignment; /* NULL: withdrawn */
    json_t *json;                  /* what the assignment's texts belong to */
    uint64_t version;
    struct item *next;
};

static struct {
    struct event_base *loop;
    struct hub *hub;
    struct item *items;
    uint64_t version;
    uint8_t epoch[BUS_EPOCH_SIZE];
    struct hub_request *watch; /* held */
    uint64_t watch_since;
    bool watch_full;
    struct event *watch_timer;
    struct hub_request *logs; /* held while off */
    uint64_t logs_next;
    bool logs_off, reported, in_full;
    struct strbuf input;
} self;

static const char *const states[] = {"CLAIMED", "RUNNING", "CRASHED", "STOPPED", "STOPPING"};

/* --- assignments from JSON --- */

static char *text(json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return (char *)(uintptr_t)(s ? s : "");
}

static uint32_t number(json_t *object, const char *key) {
    return (uint32_t)json_integer_value(json_object_get(object, key));
}

static Berth__Image *image_of(json_t *o) {
    Berth__Image *image = mem_zalloc(sizeof *image);
    json_t *layers = json_object_get(o, "layers");
    berth__image__init(image);
    image->reference = text(o, "reference");
    image->registry = text(o, "registry");
    image->repository = text(o, "repository");
    image->digest = text(o, "digest");
    image->n_layers = json_array_size(layers);
    image->layers = mem_calloc(image->n_layers + 1, sizeof *image->layers);
    for (size_t i = 0; i < image->n_layers; i++) {
        json_t *l = json_array_get(layers, i);
        image->layers[i] = mem_zalloc(sizeof **image->layers);
        berth__layer__init(image->layers[i]);
        image->layers[i]->digest = text(l, "digest");
        image->layers[i]->diff_id = text(l, "diff_id");
        image->layers[i]->media_type = text(l, "media_type");
        image->layers[i]->size = (uint64_t)json_integer_value(json_object_get(l, "size"));
    }
    return image;
}

static Berth__DesiredLrp *lrp_of(json_t *o) {
    Berth__DesiredLrp *lrp = mem_zalloc(sizeof *lrp);
    json_t *command = json_object_get(o, "command"), *env = json_object_get(o, "env"), *value;
    json_t *ports = json_object_get(o, "ports"), *check = json_object_get(o, "health");
    const char *name;
    berth__desired_lrp__init(lrp);
    lrp->process_guid = text(o, "process_guid");
    lrp->app_guid = text(o, "app_guid");
    lrp->process_type = (char *)(uintptr_t) "web";
    lrp->task = json_is_true(json_object_get(o, "task"));
    lrp->user = text(o, "user");
    lrp->memory_mb = number(o, "memory_mb");
    lrp->disk_mb = number(o, "disk_mb");
    lrp->log_rate_bytes_s = json_object_get(o, "log_rate") ? (int64_t)number(o, "log_rate") : -1;
    lrp->image = image_of(json_object_get(o, "image"));
    lrp->n_command = json_array_size(command);
    lrp->command = mem_calloc(lrp->n_command + 1, sizeof *lrp->command);
    for (size_t i = 0; i < lrp->n_command; i++)
        lrp->command[i] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
    lrp->n_ports = json_array_size(ports);
    lrp->ports = mem_calloc(lrp->n_ports + 1, sizeof *lrp->ports);
    for (size_t i = 0; i < lrp->n_ports; i++)
        lrp->ports[i] = (uint32_t)json_integer_value(json_array_get(ports, i));
    lrp->env = mem_calloc(json_object_size(env) + 1, sizeof *lrp->env);
    json_object_foreach(env, name, value) {
        Berth__EnvVar *var = mem_zalloc(sizeof *var);
        berth__env_var__init(var);
        var->name = (char *)(uintptr_t)name;
        var->value = (char *)(uintptr_t)json_string_value(value);
        lrp->env[lrp->n_env++] = var;
    }
    lrp->health = mem_zalloc(sizeof *lrp->health);
    berth__health_check__init(lrp->health);
    lrp->health->timeout_s = number(check, "timeout_s");
    lrp->health->interval_s = number(check, "interval_s");
    lrp->health->endpoint = text(check, "endpoint");
    if (str_eq(text(check, "type"), "process"))
        lrp->health->type = BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS;
    if (str_eq(text(check, "type"), "http"))
        lrp->health->type = BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_HTTP;
    return lrp;
}

static void lrp_free(Berth__DesiredLrp *lrp) {
    for (size_t i = 0; i < lrp->image->n_layers; i++)
        free(lrp->image->layers[i]);
    for (size_t i = 0; i < lrp->n_env; i++)
        free(lrp->env[i]);
    free(lrp->image->layers);
    free(lrp->image);
    free(lrp->command);
    free(lrp->ports);
    free(lrp->env);
    free(lrp->health);
    free(lrp);
}

static void item_clear(struct item *item) {
    if (item->assignment) {
        lrp_free(item->assignment->lrp);
        free(item->assignment);
    }
    json_decref(item->json);
    item->assignment = NULL;
    item->json = NULL;
}

static struct item *item_of(const char *guid) {
    struct item *item;
    LL_FOREACH (self.items, item)
        if (str_eq(item->guid, guid))
            return item;
    item = mem_zalloc(sizeof *item);
    item->guid = str_dup(guid);
    LL_APPEND(self.items, item);
    return item;
}

static void drop(const char *guid) {
    struct item *item = item_of(guid);
    if (item->version && !item->assignment)
        return;
    item_clear(item);
    item->version = ++self.version;
}

/* --- watch --- */

static void answer_watch(bool even_empty) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Assignment *assignments[64];
    char *withdrawn[64];
    struct item *item;
    if (!self.watch || !self.reported)
        return;
    LL_FOREACH (self.items, item) {
        if (item->version <= self.watch_since && !self.watch_full)
            continue;
        if (item->assignment && reply.n_assignments < ARRAY_SIZE(assignments))
            assignments[reply.n_assignments++] = item->assignment;
        else if (!item->assignment && !self.watch_full && reply.n_withdrawn < ARRAY_SIZE(withdrawn))
            withdrawn[reply.n_withdrawn++] = item->guid;
    }
    if (!reply.n_assignments && !reply.n_withdrawn && !self.watch_full && !even_empty)
        return;
    reply.epoch = (ProtobufCBinaryData){sizeof self.epoch, self.epoch};
    reply.from = self.watch_full ? 0 : self.watch_since;
    reply.to = self.version;
    reply.assignments = assignments;
    reply.withdrawn = withdrawn;
    event_del(self.watch_timer);
    hub_reply(self.hub, self.watch, &reply.base);
    self.watch = NULL;
}

static void on_watch_wait_over(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
    answer_watch(true);
}

static void on_watch(struct hub_request *req, const Berth__Watch *watch) {
    struct timeval wait = {.tv_sec = WATCH_WAIT_MS / 1000, .tv_usec = WATCH_WAIT_MS % 1000 * 1000};
    self.watch = req;
    self.watch_since = watch->version;
    self.watch_full = watch->version == 0 || watch->epoch.len != sizeof self.epoch ||
                      memcmp(watch->epoch.data, self.epoch, sizeof self.epoch) != 0;
    event_add(self.watch_timer, &wait);
    answer_watch(false);
}

/* --- report and logs --- */

static void on_report(struct hub_request *req, const Berth__Report *report) {
    Berth__ReportAck ack = BERTH__REPORT_ACK__INIT;
    if (report->full) {
        puts("full");
        self.in_full = true;
    }
    for (size_t i = 0; i < report->n_instances; i++) {
        const Berth__ActualLrp *a = report->instances[i];
        if (a->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED ||
            a->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPED)
            drop(a->instance_guid);
        printf("report %s %s exit=%d oom=%d fault=%d port=%u reason=[%s] detail=[%s]\n",
               a->instance_guid, states[a->state], a->exit_status, a->out_of_memory,
               a->platform_fault, a->n_ports ? a->ports[0]->host_port : 0, a->reason, a->detail);
    }
    if (report->evacuating)
        puts("evacuating");
    if (report->free)
        printf("free %llu %u\n", (unsigned long long)report->free->memory_mb,
               report->free->containers);
    if (self.in_full && !report->more)
        self.in_full = false, self.reported = true;
    ack.number = report->number;
    hub_reply(self.hub, req, &ack.base);
    answer_watch(false);
}

static void answer_logs(struct hub_request *req) {
    Berth__LogsAck ack = BERTH__LOGS_ACK__INIT;
    ack.next = self.logs_next;
    ack.credit_bytes = CREDIT;
    hub_reply(self.hub, req, &ack.base);
}

static void on_logs(struct hub_request *req, const Berth__Logs *logs) {
    if (self.logs_off) { /* not taken: it will be told again */
        self.logs = req;
        return;
    }
    if (logs->lost_before)
        printf("lost %llu\n", (unsigned long long)logs->lost_before);
    for (size_t i = 0; i < logs->n_lines; i++) {
        const Berth__LogLine *l = logs->lines[i];
        printf("log %s %s %s %s %.*s\n", l->app_guid, l->source_type, l->source_instance,
               l->stream == BERTH__LOG_STREAM__LOG_ERR ? "ERR" : "OUT", (int)l->message.len,
               (const char *)l->message.data);
    }
    self.logs_next = logs->first + logs->n_lines;
    answer_logs(req);
}

static bool knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    (void)data, (void)id;
    return true;
}

static void on_session(void *data, struct hub_peer *peer, const Berth__Hello *hello) {
    static const char *const names[] = {"WATCH", "REPORT", "LOGS"};
    (void)data, (void)peer;
    printf("session %s %s\n", names[hello->conversation], hello->name);
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    (void)data, (void)peer;
    if (msg->descriptor == &berth__watch__descriptor)
        on_watch(req, (const Berth__Watch *)msg);
    else if (msg->descriptor == &berth__report__descriptor)
        on_report(req, (const Berth__Report *)msg);
    else
        on_logs(req, (const Berth__Logs *)msg);
}

static void on_dropped(void *data, struct hub_peer *peer, struct hub_request *req) {
    (void)data, (void)peer;
    if (req == self.watch)
        self.watch = NULL;
    if (req == self.logs)
        self.logs = NULL;
}

/* --- commands --- */

static void want(const char *line) {
    json_error_t error;
    json_t *o = json_loads(line, 0, &error);
    if (!o) {
        printf("bad json: %s\n", error.text);
        return;
    }
    struct item *item = item_of(text(o, "guid"));
    item_clear(item);
    item->json = o;
    item->version = ++self.version;
    item->assignment = mem_zalloc(sizeof *item->assignment);
    berth__assignment__init(item->assignment);
    item->assignment->instance_guid = item->guid;
    item->assignment->index = number(o, "index");
    item->assignment->lrp = lrp_of(o);
}

static void command(const char *line) {
    if (str_starts(line, "want ")) {
        want(line + 5);
    } else if (str_starts(line, "drop ")) {
        drop(line + 5);
    } else if (str_eq(line, "logs off")) {
        self.logs_off = true;
    } else if (str_eq(line, "logs on")) {
        self.logs_off = false;
        if (self.logs)
            answer_logs(self.logs);
        self.logs = NULL;
    } else {
        printf("unknown command: %s\n", line);
    }
    answer_watch(false);
}

static void on_input(evutil_socket_t fd, short what, void *arg) {
    char buf[4096];
    (void)what, (void)arg;
    ssize_t n = read((int)fd, buf, sizeof buf);
    if (n == 0)
        event_base_loopexit(self.loop, NULL);
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != '\n') {
            strbuf_putc(&self.input, buf[i]);
            continue;
        }
        command(self.input.p ? self.input.p : "");
        strbuf_clear(&self.input);
    }
}

static int write_key(const char *path, const uint8_t *master, struct error *err) {
    struct bus_identity identity;
    uint8_t id[BUS_ID_SIZE];
    char line[128];
    if (access(path, F_OK) == 0)
        return 0;
    random_bytes(id, sizeof id);
    hub_derive_identity(master, 1, id, &identity);
    bus_identity_format(&identity, line);
    return fs_write_atomic(AT_FDCWD, path, 0600, line, strlen(line), err);
}

int main(int argc, char **argv) {
    static const uint8_t master[BUS_KEY_SIZE] = "a constant: this is only a test";
    const struct hub_ops ops = {.knows = knows,
                                .on_session = on_session,
                                .on_request = on_request,
                                .on_dropped = on_dropped};
    struct error err = {0};
    char control[64], logs[64];
    if (argc != 4)
        return fprintf(stderr, "usage: %s CONTROL_PORT LOGS_PORT KEY_FILE\n", argv[0]), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    self.loop = event_base_new();
    self.version = 1;
    random_bytes(self.epoch, sizeof self.epoch);
    snprintf(control, sizeof control, "tcp://127.0.0.1:%s", argv[1]);
    snprintf(logs, sizeof logs, "tcp://127.0.0.1:%s", argv[2]);
    struct hub_config config = {.control_url = control,
                                .logs_url = logs,
                                .master_key = master,
                                .gen = 1,
                                .watch_wait_ms = WATCH_WAIT_MS};
    memcpy(config.epoch, self.epoch, sizeof self.epoch);
    if (write_key(argv[3], master, &err) < 0 ||
        hub_new(&self.hub, self.loop, &config, &ops, &err) < 0)
        return fprintf(stderr, "%s\n", err.msg), 1;
    self.watch_timer = evtimer_new(self.loop, on_watch_wait_over, NULL);
    struct event *input = event_new(self.loop, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
    event_add(input, NULL);
    puts("listening");
    event_base_dispatch(self.loop);
    hub_free(self.hub);
    return 0;
}
