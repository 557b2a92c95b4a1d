#include "cell/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define STATE_LISTEN  0x0a        /* TCP_LISTEN, see proc(5) */
#define PROC_FILE_MAX (32u << 20) /* of /proc/PID/net/tcp: 150 bytes a connection */

/* The kernel prints addresses as 32-bit words in the host's byte order. */
static bool parse_address(const char *hex, bool v6, struct listener *l) {
    uint32_t words[4] = {0};
    int count = v6 ? 4 : 1;
    for (int i = 0; i < count; i++)
        if (sscanf(hex + 8 * i, "%8x", &words[i]) != 1)
            return false;
    if (!inet_ntop(v6 ? AF_INET6 : AF_INET, words, l->address, sizeof l->address))
        return false;
    l->v6 = v6;
    l->reachable = !(v6 ? str_eq(l->address, "::1") || str_starts(l->address, "::ffff:127.")
                        : str_starts(l->address, "127."));
    return true;
}

static void insert(struct listener list[LISTENERS_MAX], size_t *n, const struct listener *l) {
    size_t at = 0;
    while (at < *n && list[at].port <= l->port)
        at++;
    if (*n == LISTENERS_MAX)
        return;
    memmove(list + at + 1, list + at, (*n - at) * sizeof *list);
    list[at] = *l;
    ++*n;
}

void listeners_parse(const char *text, bool v6, struct listener list[LISTENERS_MAX], size_t *n) {
    size_t digits = v6 ? 32 : 8;
    for (const char *line = strchr(text, '\n'); line && *++line; line = strchr(line, '\n')) {
        struct listener l = {0};
        char address[33];
        unsigned port, state;
        /* "  0: 0100007F:0BB8 00000000:0000 0A ..." */
        if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*4x %2x", address, &port,
                   &state) != 3)
            continue;
        if (state != STATE_LISTEN || strlen(address) != digits || !parse_address(address, v6, &l))
            continue;
        l.port = (uint16_t)port;
        insert(list, n, &l);
    }
}

void listeners_describe(const struct listener *list, size_t n, uint16_t port, char *buf,
                        size_t buf_n) {
    size_t used = 0;
    bool right_port = false, reachable = false;
    *buf = 0;
    for (size_t i = 0; i < n; i++) {
        right_port |= list[i].port == port;
        reachable |= list[i].port == port && list[i].reachable;
    }
    if (reachable) /* it does listen: something else is wrong */
        return;
    if (!n) {
        snprintf(buf, buf_n, "the app listens on no TCP port while traffic goes to port %u", port);
        return;
    }
    used += (size_t)snprintf(buf, buf_n, "the app listens on ");
    for (size_t i = 0; i < n && used < buf_n; i++)
        used += (size_t)snprintf(buf + used, buf_n - used, list[i].v6 ? "%s[%s]:%u" : "%s%s:%u",
                                 i ? ", " : "", list[i].address, list[i].port);
    if (used >= buf_n)
        return;
    if (right_port)
        snprintf(buf + used, buf_n - used,
                 ", which only the container itself can reach: "
                 "it must listen on 0.0.0.0");
    else
        snprintf(buf + used, buf_n - used, " while traffic goes to port %u", port);
}

void listeners_of(pid_t pid, uint16_t port, char *buf, size_t buf_n) {
    struct listener list[LISTENERS_MAX];
    size_t n = 0;
    bool read_any = false;
    *buf = 0;
    for (int v6 = 0; pid > 0 && v6 < 2; v6++) {
        char path[64];
        _cleanup_(freep) char *text = NULL;
        snprintf(path, sizeof path, "/proc/%d/net/tcp%s", (int)pid, v6 ? "6" : "");
        if (fs_read(AT_FDCWD, path, PROC_FILE_MAX, &text, &(size_t){0}, NULL) < 0)
            continue;
        read_any = true;
        listeners_parse(text, v6, list, &n);
    }
    if (read_any)
        listeners_describe(list, n, port, buf, buf_n);
}
