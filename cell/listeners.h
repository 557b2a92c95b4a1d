/* listeners.h - on which TCP ports a container listens, for a user whose app was never healthy. */
#ifndef CELL_LISTENERS_H
#define CELL_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LISTENERS_MAX 16

struct listener {
    char address[46]; /* text: "127.0.0.1", "::" */
    bool v6;
    bool reachable; /* from outside the container: not loopback */
    uint16_t port;
};

/* Adds what listens according to `text`, a /proc/PID/net/tcp or (v6) tcp6, to `list` of *n. The
 * order is by port; at most LISTENERS_MAX. */
void listeners_parse(const char *text, bool v6, struct listener list[LISTENERS_MAX], size_t *n);

/* "the app listens on 127.0.0.1:3000 while traffic goes to port 8080" and the like; "" when nothing
 * helpful can be said. */
void listeners_describe(const struct listener *list, size_t n, uint16_t port, char *buf,
                        size_t buf_n);

/* Both, for the network namespace of a process. "" when it is gone. */
void listeners_of(pid_t pid, uint16_t port, char *buf, size_t buf_n);

#endif
