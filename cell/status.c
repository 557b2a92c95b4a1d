/* status.c - what the agent tells its operator: health, instances, metrics. */
#include <inttypes.h>
#include <utlist.h>

#include "cell/agent_parts.h"
#include "common/base/daemon.h"
#include "common/base/metrics.h"

const char *agent_health(struct agent *a) {
    return sync_is_up(a->sync) ? NULL : "not connected to the controller; instances run on\n";
}

void agent_instances_page(struct agent *a, struct strbuf *out) {
    struct tracked *t;
    DL_FOREACH (a->instances, t) {
        Berth__ActualLrp lrp;
        instance_describe(t->in, &lrp);
        strbuf_printf(out, "%s %s app=%s index=%u memory_mb=%u%s%s\n", lrp.instance_guid,
                      instance_state_name(instance_state(t->in)), lrp.app_guid, lrp.index,
                      lrp.memory_mb, *lrp.detail ? " " : "", lrp.detail);
    }
}

void agent_metrics(struct agent *a, struct strbuf *out) {
    struct image_store_stats images;
    struct peers_counters got;
    struct peer_server_stats given;
    struct outbox_counters lines;
    struct bus_counters bus;
    Berth__Capacity left = BERTH__CAPACITY__INIT;
    uint64_t by_state[INSTANCE_STATES] = {0};
    struct tracked *t;
    image_store_stats(a->store, &images);
    agent_peer_stats(a, &got, &given);
    outbox_counters(a->outbox, &lines);
    sync_counters(a->sync, &bus);
    agent_free_capacity(a, &left);
    DL_FOREACH (a->instances, t)
        by_state[instance_state(t->in)]++;
    strbuf_puts(out, "# HELP berth_cell_instances Instances by state.\n"
                     "# TYPE berth_cell_instances gauge\n");
    for (int s = 0; s < INSTANCE_STATES; s++)
        strbuf_printf(out, "berth_cell_instances{state=\"%s\"} %" PRIu64 "\n",
                      instance_state_name((enum instance_state)s), by_state[s]);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"berth_cell_connected", "gauge", "1 while watch and report stand.", sync_is_up(a->sync)},
        {"berth_cell_evacuating", "gauge", "1 while this cell is being emptied.",
         a->evacuation != EVACUATION_NONE},
        {"berth_cell_memory_mb", "gauge", "Memory for containers, in MB.", a->total.memory_mb},
        {"berth_cell_memory_free_mb", "gauge", "The part of it not held.", left.memory_mb},
        {"berth_cell_disk_mb", "gauge", "Disk for containers, in MB.", a->total.disk_mb},
        {"berth_cell_disk_free_mb", "gauge", "The part of it not held.", left.disk_mb},
        {"berth_cell_containers_started_total", "counter", "Containers made.", a->counters.started},
        {"berth_cell_instances_adopted_total", "counter", "Containers found running at start.",
         a->counters.adopted},
        {"berth_cell_instances_crashed_total", "counter", "Instances that ended unasked.",
         a->counters.crashed},
        {"berth_cell_instances_stopped_total", "counter", "Instances that ended as asked.",
         a->counters.stopped},
        {"berth_cell_platform_faults_total", "counter", "Crashes that were not the app's fault.",
         a->counters.platform_faults},
        {"berth_cell_out_of_memory_total", "counter", "Crashes for want of memory.",
         a->counters.out_of_memory},
        {"berth_cell_layers", "gauge", "Layers in the cache.", images.layers},
        {"berth_cell_layer_bytes", "gauge", "Bytes of them on disk.", images.bytes},
        {"berth_cell_layer_bytes_limit", "gauge", "Above it unused ones are removed; 0: never.",
         a->settings->cache},
        {"berth_cell_pulls_total", "counter", "Images made ready.", images.pulls},
        {"berth_cell_pull_failures_total", "counter", "Images that could not be had.",
         images.failures},
        {"berth_cell_pulled_bytes_total", "counter", "Compressed bytes fetched.",
         images.pulled_bytes},
        {"berth_cell_layers_refused_total", "counter", "Layers refused as wrong or hostile.",
         images.refused},
        {"berth_cell_layers_collected_total", "counter", "Unused layers removed.",
         images.collected},
        {"berth_cell_blobs", "gauge", "Layers kept for other cells.", images.blobs},
        {"berth_cell_keep_blobs", "gauge", "Layers that the controller wants here.", images.keep},
        {"berth_cell_keep_missing", "gauge", "Those of them that are not here yet.",
         images.keep_missing},
        {"berth_cell_blobs_damaged_total", "counter",
         "Layers kept for other cells that the disk had changed.", images.damaged},
        {"berth_cell_peer_fetched_bytes_total", "counter", "Bytes fetched from other cells.",
         got.bytes},
        {"berth_cell_peer_fetched_total", "counter", "Layers fetched from other cells.", got.blobs},
        {"berth_cell_peer_failures_total", "counter", "Fetches from a cell that failed.",
         got.failures},
        {"berth_cell_peer_distrusted_total", "counter", "Times that a cell sent wrong bytes.",
         got.distrusted},
        {"berth_cell_peer_giving", "gauge", "Layers being given to other cells now.", given.giving},
        {"berth_cell_peer_given_total", "counter", "Layers given to other cells.", given.given},
        {"berth_cell_peer_given_bytes_total", "counter", "Bytes given to other cells.",
         given.bytes},
        {"berth_cell_peer_refused_total", "counter",
         "Requests of other cells refused for what they were.", given.refused},
        {"berth_cell_peer_busy_total", "counter", "Requests refused for want of capacity.",
         given.busy},
        {"berth_cell_peer_slow_total", "counter", "Readers cut off for being too slow.",
         given.slow},
        {"berth_cell_log_lines_total", "counter", "Log lines queued.", lines.pushed},
        {"berth_cell_log_lines_sent_total", "counter", "Log lines acknowledged.",
         lines.acknowledged},
        {"berth_cell_log_lines_lost_total", "counter", "Log lines dropped.", lines.lost},
        {"berth_cell_log_buffer_bytes", "gauge", "Log lines on their way.",
         outbox_bytes(a->outbox)},
        {"berth_cell_bus_sent_total", "counter", "Bus messages sent.", bus.sent},
        {"berth_cell_bus_received_total", "counter", "Bus messages taken.", bus.received},
        {"berth_cell_bus_sessions_total", "counter", "Bus sessions opened.", bus.sessions},
        {"berth_cell_bus_timeouts_total", "counter", "Bus answers overdue.", bus.timeouts},
        {"berth_cell_bus_dropped_total", "counter", "Bus messages refused.",
         bus.dropped_malformed + bus.dropped_unknown + bus.dropped_forged + bus.dropped_replayed},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        metric_put(out, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value);
    metrics_put_disk(out, a->settings->state_dir);
}
