#include "common/base/footprint.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/mem.h"

struct mapping {
    unsigned long start, end;
    bool droppable; /* of a file, and nobody can write to it now */
};

/* "7f0000000000-7f0000001000 r-xp 00000000 fd:00 1234 /usr/lib/libc.so.6" */
static bool parse_mapping(const char *line, struct mapping *ret) {
    struct mapping m;
    char flags[5];
    int path = 0;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &m.start, &m.end, flags, &path) < 3)
        return false;
    m.droppable = path && line[path] == '/' && flags[1] == '-' && flags[3] == 'p';
    *ret = m;
    return true;
}

/* A mapping's pages may be dropped when all of them are what the file says: relocated ones are
 * private copies, which the kernel counts as Anonymous and MADV_DONTNEED would lose. */
void footprint_trim(void) {
    malloc_trim(0);
    FILE *smaps = fopen("/proc/self/smaps", "re");
    if (!smaps)
        return;
    struct mapping m = {0};
    unsigned long anonymous_kb;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, smaps) > 0) {
        if (parse_mapping(line, &m) || !m.droppable)
            continue;
        if (sscanf(line, "Anonymous: %lu kB", &anonymous_kb) == 1 && anonymous_kb == 0)
            madvise((void *)(uintptr_t)m.start, m.end - m.start, MADV_DONTNEED);
    }
    free(line);
    fclose(smaps);
}
