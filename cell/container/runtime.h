/* runtime.h - the OCI runtime: crun, or runc where crun cannot run; conmon (monitor.h) calls it. */
#ifndef CELL_CONTAINER_RUNTIME_H
#define CELL_CONTAINER_RUNTIME_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct cgroups;
struct runtime;

struct runtime_config {
    const char *wanted;  /* "auto", "crun" or "runc" */
    const char *run_dir; /* made when missing */
    const char *name;    /* cgroup parent */
    const struct cgroups *cgroups;
    uint32_t first_id, id_range; /* for the trial */
};

/* Finds conmon and a runtime that can run here: each candidate runs a trial container, which is a
 * few milliseconds. Adds to `note` which one and why. */
int runtime_new(struct runtime **ret, const struct runtime_config *config, struct strbuf *note,
                struct error *err);
void runtime_free(struct runtime *rt);
DEFINE_FREEP(runtime)

/* In a mount namespace of one's own: makes what lies in run_dir/bin executable from there. */
int runtime_expose(const struct runtime *rt, struct error *err);
/* Forgets an ended container. With no hook, and no cgroup of its own left, that is the runtime's
 * state directory and conmon's socket; starting the runtime for it would cost more than all other
 * steps. */
int runtime_forget(const struct runtime *rt, const char *id, struct error *err);

const char *runtime_init_path(const struct runtime *rt); /* of init.c, installed */
const char *runtime_command(const struct runtime *rt);   /* what conmon is to call */
const char *runtime_conmon(const struct runtime *rt);
const char *runtime_root(const struct runtime *rt);    /* the runtime's --root */
const char *runtime_sockets(const struct runtime *rt); /* conmon's directory of sockets */

/* What a runtime said, shortened in place to the words for a person: runc's msg="..." of its log
 * lines, crun's without its time stamp; the first line. */
void runtime_plain_words(char *text);

#endif
