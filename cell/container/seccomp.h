/* seccomp.h - the system calls a container may make (OCI runtime spec, config-linux, "Seccomp"). */
#ifndef CELL_CONTAINER_SECCOMP_H
#define CELL_CONTAINER_SECCOMP_H

#include <jansson.h>

/* An owned "linux.seccomp" object; NULL: out of memory. */
json_t *seccomp_profile(void);

#endif
