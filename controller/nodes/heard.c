/* heard.c - reports: checked, handed to the brain, acknowledged. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"

#define PROCESS_GUID_MAX (2 * GUID_SIZE)
#define TEXT_MAX         4096 /* of a reason or detail */
#define PORTS_MAX        64

static bool is_guid(const char *s, size_t max) {
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && s[n] == '\0' && n < max;
}

static bool is_address(const char *s) {
    struct in6_addr any;
    return !*s || inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

/* Is what the cell says of an instance well formed? Text is UTF-8 already. */
static bool is_sound(const Berth__ActualLrp *m) {
    if (!is_guid(m->instance_guid, GUID_SIZE) || !is_guid(m->process_guid, PROCESS_GUID_MAX) ||
        !is_guid(m->app_guid, GUID_SIZE) || !is_address(m->address) || m->n_ports > PORTS_MAX ||
        strlen(m->reason) > TEXT_MAX || strlen(m->detail) > TEXT_MAX)
        return false;
    for (size_t i = 0; i < m->n_ports; i++)
        if (m->ports[i]->host_port == 0 || m->ports[i]->host_port > UINT16_MAX ||
            m->ports[i]->container_port == 0 || m->ports[i]->container_port > UINT16_MAX)
            return false;
    return true;
}

/* A full report may say so on its first page only: it goes on as long as `more` is set. */
void heard_report(struct node *node, struct hub_request *req, const Berth__Report *msg) {
    struct nodes *n = node->nodes;
    uint64_t now_ms = clock_mono_ms();
    _cleanup_(layers_answer_fini) struct layers_answer answer = {0};
    Berth__ReportAck ack;
    berth__report_ack__init(&ack);
    _cleanup_(freep) Berth__ActualLrp **sound = mem_calloc(msg->n_instances + 1, sizeof *sound);
    size_t sound_n = 0;
    for (size_t i = 0; sound && i < msg->n_instances; i++) {
        if (is_sound(msg->instances[i]))
            sound[sound_n++] = msg->instances[i];
        else
            n->instances_refused++;
    }
    bool begins = msg->full && !node->in_full;
    node->in_full |= msg->full;
    bool ends = node->in_full && !msg->more;
    lrp_cell_evacuating(n->deps.lrp, node->peer->id_text, msg->evacuating, now_ms);
    int r = sound ? lrp_report(n->deps.lrp, node->peer->id_text, begins, ends, sound, sound_n,
                               now_ms, clock_wall_ns())
                  : -ENOMEM;
    /* what could not be taken must not be forgotten by the cell */
    ack.number = r < 0 && r != -ESTALE && r != -ENOENT ? 0 : msg->number;
    if (msg->holdings)
        r = MIN(r, layers_heard(node, msg->holdings));
    layers_answer(node, msg, &ack, &answer);
    if (ends) {
        node->in_full = false;
        node->full_ms = now_ms;
    }
    ack.want_full = r < 0 || (!node->in_full && now_ms - node->full_ms > FULL_EVERY_MS);
    if (ack.want_full) {
        node->in_full = false;
        node->full_ms = now_ms; /* asked: not again before the next time is due */
    }
    hub_reply(n->hub, req, &ack.base);
}
