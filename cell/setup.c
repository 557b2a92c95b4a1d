/* setup.c - what the agent and its purge begin with alike. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "cell/agent_parts.h"
#include "common/base/fs.h"
#include "common/base/log.h"

/* Containers' own users pass through it (0711); what is in it is closed to them. */
int agent_lock(const struct settings *s, int *ret, struct error *err) {
    int r = fs_mkdirs(AT_FDCWD, s->state_dir, 0711, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *path = str_printf("%s/lock", s->state_dir);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    _cleanup_(close_fdp) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno, "another berth-cell has %s",
                         s->state_dir);
    *ret = TAKE_FD(fd);
    return 0;
}

int agent_open_engine(struct container_engine **ret, struct event_base *loop,
                      const struct settings *s, struct error *err) {
    const struct container_engine_config config = {
        .dir = s->state_dir,
        .run_dir = s->run_dir,
        .name = s->prefix,
        .subnet = s->subnet,
        .runtime = s->runtime,
        .id_base = (uint32_t)s->id_base,
        .id_range = (uint32_t)s->id_range,
        .port_first = (uint16_t)s->port_first,
        .port_count = (uint16_t)s->port_count,
        .port_rest_ms = s->port_rest * 1000,
        .host_address = s->address,
        .dns = s->dns,
        .allow_networks = s->allow_networks,
        .deny_networks = s->deny_networks,
        .max_containers = (unsigned)s->max_containers,
    };
    const char *note = NULL;
    int r = container_engine_new(ret, loop, &config, &note, err);
    if (r < 0)
        return error_wrap(err, "container engine");
    log_info("container engine", "runtime=%s", log_quote(note ? note : ""));
    return 0;
}
