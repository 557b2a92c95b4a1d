#include "common/base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

void *mem_zalloc(size_t n) {
    return calloc(1, n);
}

void *mem_calloc(size_t n, size_t size) {
    return calloc(n, size);
}

void *mem_resize(void *p, size_t n, size_t size) {
    return reallocarray(p, n, size);
}

void *mem_dup(const void *p, size_t n) {
    void *copy = malloc(n ? n : 1);
    if (copy && n)
        memcpy(copy, p, n);
    return copy;
}

void freep(void *pp) {
    void *p;
    memcpy(&p, pp, sizeof p);
    int saved = errno;
    free(p);
    errno = saved;
}

void close_fdp(const int *fd) {
    if (*fd < 0)
        return;
    int saved = errno;
    close(*fd);
    errno = saved;
}

void mem_wipe(void *p, size_t n) {
    explicit_bzero(p, n);
}
