#include "cell/launch.h"

#include "cell.pb-c.h"

#include <errno.h>
#include <stdlib.h>

#include "cell/instance_env.h"
#include "common/base/str.h"

#define MIB           (1024u * 1024u)
#define WEIGHT_MIN_MB 128u /* Diego: cpu weight by memory between these */
#define WEIGHT_MAX_MB 8192u
#define SHARES_MAX    1024u                                 /* Diego: containers.max_cpu_shares */
#define NO_COMMAND    "No start command found or specified" /* Diego's launcher */

uint64_t launch_cpu_shares(uint32_t memory_mb) {
    uint32_t memory = MIN(MAX(memory_mb, WEIGHT_MIN_MB), WEIGHT_MAX_MB);
    return (uint64_t)SHARES_MAX * (100u * memory / WEIGHT_MAX_MB) / 100u;
}

void launch_fini(struct launch *l) {
    instance_env_free(l->env);
    free(l->argv);
    free(l->ports);
    free(l->note);
    *l = (struct launch){0};
}

static int copy_argv(struct launch *l, const Berth__DesiredLrp *lrp, struct error *err) {
    if (!lrp->n_command || str_empty(lrp->command[0]))
        return error_set(err, -EINVAL, NO_COMMAND);
    l->argv = mem_calloc(lrp->n_command + 1, sizeof *l->argv);
    if (!l->argv)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < lrp->n_command; i++)
        l->argv[i] = lrp->command[i];
    return 0;
}

static int copy_ports(struct launch *l, const Berth__DesiredLrp *lrp, struct error *err) {
    l->ports = mem_calloc(lrp->n_ports + 1, sizeof *l->ports);
    if (!l->ports)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < lrp->n_ports; i++)
        l->ports[i] = (uint16_t)lrp->ports[i];
    return 0;
}

/* Who adopts a container pulls nothing: the registry's credentials do not go to disk. */
static int pack_note(struct launch *l, const Berth__Assignment *a, const struct image_lease *lease,
                     uint64_t wall_ns, struct error *err) {
    Berth__Image image = *a->lrp->image;
    Berth__DesiredLrp lrp = *a->lrp;
    Berth__Assignment assignment = *a;
    Berth__ContainerNote note = BERTH__CONTAINER_NOTE__INIT;
    image.username = image.password = (char *)protobuf_c_empty_string;
    lrp.image = &image;
    assignment.lrp = &lrp;
    note.assignment = &assignment;
    note.diff_ids = lease->diff_ids;
    note.n_diff_ids = lease->layer_count;
    note.created_wall_ns = wall_ns;
    l->spec.note_n = berth__container_note__get_packed_size(&note);
    l->note = malloc(l->spec.note_n);
    if (!l->note)
        return error_set(err, -ENOMEM, "out of memory");
    berth__container_note__pack(&note, l->note);
    l->spec.note = l->note;
    return 0;
}

int launch_prepare(struct launch *l, const Berth__Assignment *a, const struct image_lease *lease,
                   const struct launch_defaults *defaults, uint64_t wall_ns, struct error *err) {
    const Berth__DesiredLrp *lrp = a->lrp;
    int r;
    *l = (struct launch){0};
    if ((r = copy_argv(l, lrp, err)) < 0 || (r = copy_ports(l, lrp, err)) < 0 ||
        (r = instance_env_build(&l->env, a, err)) < 0 ||
        (r = pack_note(l, a, lease, wall_ns, err)) < 0) {
        launch_fini(l);
        return r;
    }
    struct container_spec *s = &l->spec;
    s->id = s->hostname = a->instance_guid;
    s->layers = (const char *const *)lease->layers;
    s->argv = (const char *const *)l->argv;
    s->env = (const char *const *)l->env;
    s->user = lrp->user;
    s->workdir = lrp->workdir;
    s->stop_signal = lrp->stop_signal;
    s->ports = l->ports;
    s->port_count = lrp->n_ports;
    s->memory_bytes = (uint64_t)lrp->memory_mb * MIB;
    s->disk_bytes = lrp->disk_mb ? (uint64_t)lrp->disk_mb * MIB : defaults->disk_bytes;
    s->cpu_shares = launch_cpu_shares(lrp->memory_mb);
    s->pids = lrp->pids ? lrp->pids : defaults->pids;
    s->nofile = lrp->nofile ? lrp->nofile : defaults->nofile;
    return 0;
}
