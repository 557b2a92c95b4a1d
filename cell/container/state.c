#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "cell/container/engine.h"
#include "common/base/fs.h"

enum {
    STATE_VERSION = 1,
    STATE_MAX = 8 << 20, /* the note is the owner's, and he keeps environments in it */
};

static json_t *ports_json(const struct container *c) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->port_count; i++)
        json_array_append_new(array, json_pack("{s:i, s:i}", "container", c->ports[i].container,
                                               "host", c->ports[i].host));
    return array;
}

static json_t *process_json(const struct process *p) {
    return json_pack("{s:I, s:I}", "pid", (json_int_t)p->pid, "start", (json_int_t)p->start);
}

int state_write(const struct container *c, struct error *err) {
    _cleanup_(freep) char *note = base64_encode(c->note, c->note_n, false);
    json_t *state =
        json_pack("{s:i, s:s, s:i, s:I, s:i, s:o, s:o, s:o, s:s}", "version", STATE_VERSION, "boot",
                  c->engine->boot_id, "slot", (int)c->slot, "disk", (json_int_t)c->disk_bytes,
                  "stop_signal", c->stop_signal, "ports", ports_json(c), "main",
                  process_json(&c->main), "monitor", process_json(&c->monitor), "note", note);
    _cleanup_(freep) char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
    json_decref(state);
    _cleanup_(freep) char *path = str_printf("%s/state.json", c->dir);
    if (!text || !path)
        return error_set(err, -ENOMEM, "out of memory");
    /* No fsync: it speaks of processes, which no crash of the machine survives. */
    return fs_write_quick(AT_FDCWD, path, 0600, text, strlen(text), err);
}

static int read_process(json_t *json, struct process *ret) {
    json_int_t pid = 0, start = 0;
    if (json_unpack(json, "{s:I, s:I}", "pid", &pid, "start", &start) < 0 || pid < 0 || start < 0)
        return -EBADMSG;
    *ret = (struct process){.pid = (pid_t)pid, .start = (uint64_t)start, .pidfd = -1};
    return 0;
}

static int read_ports(json_t *json, struct container *c) {
    size_t n = json_array_size(json);
    struct published *ports = mem_calloc(n + 1, sizeof *ports);
    if (!ports)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int inside = 0, host = 0;
        if (json_unpack(json_array_get(json, i), "{s:i, s:i}", "container", &inside, "host",
                        &host) < 0 ||
            inside < 1 || inside > UINT16_MAX || host < 1 || host > UINT16_MAX) {
            free(ports);
            return -EBADMSG;
        }
        ports[i] = (struct published){(uint16_t)inside, (uint16_t)host};
    }
    c->ports = ports;
    c->port_count = n;
    return 0;
}

static int take(json_t *state, struct container *c) {
    int version = 0, slot = -1, r;
    json_int_t disk = 0;
    const char *boot = NULL, *note = NULL;
    json_t *ports, *main, *monitor;
    if (json_unpack(state, "{s:i, s:s, s:i, s:I, s:i, s:o, s:o, s:o, s:s}", "version", &version,
                    "boot", &boot, "slot", &slot, "disk", &disk, "stop_signal", &c->stop_signal,
                    "ports", &ports, "main", &main, "monitor", &monitor, "note", &note) < 0 ||
        version != STATE_VERSION || slot < 0 || disk < 0)
        return -EBADMSG;
    if (!str_eq(boot, c->engine->boot_id))
        return -ESTALE;
    c->slot = (unsigned)slot;
    c->disk_bytes = (uint64_t)disk;
    uint8_t *bytes = NULL;
    if ((r = base64_decode(note, strlen(note), &bytes, &c->note_n)) < 0)
        return r;
    c->note = bytes;
    if ((r = read_process(main, &c->main)) < 0 || (r = read_process(monitor, &c->monitor)) < 0)
        return r;
    return read_ports(ports, c);
}

int state_read(struct container *c, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    _cleanup_(freep) char *path = str_printf("%s/state.json", c->dir);
    size_t n = 0;
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    int r = fs_read(AT_FDCWD, path, STATE_MAX, &text, &n, err);
    if (r < 0)
        return r;
    json_t *state = json_loadb(text, n, 0, NULL);
    r = state ? take(state, c) : -EBADMSG;
    json_decref(state);
    return r < 0 ? error_set(err, r, "%s is of no use: %s", path, strerror(-r)) : 0;
}
