/* container_checks.c - what a container may, may not, and leaves behind. Run by the script
 * `container`:
 *
 *     container_checks DIR RUN_DIR WORLD_NETNS BASE_LAYER TOP_LAYER [NAME...]
 *
 * Each check makes its containers with the engine under test, in the network namespace it is
 * started in, and prints "ok - name" or "not ok - name: why". */
#include "tests/component/container_runs.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

static bool chosen(const char *name, char **words) {
    if (!*words)
        return true;
    for (; *words; words++)
        if (strstr(name, *words))
            return true;
    return false;
}

/* How many of the list failed. */
static unsigned run_checks(const struct check *checks, char **words) {
    unsigned failed = 0;
    for (; checks->name; checks++) {
        char name[128];
        snprintf(name, sizeof name, "%s", checks->name);
        for (char *p = name; *p; p++)
            *p = *p == '_' ? ' ' : *p;
        if (!chosen(name, words))
            continue;
        if (checks->run()) {
            printf("ok - %s\n", name);
            continue;
        }
        failed++;
        printf("not ok - %s: %s\n", name, t.why);
        start_over(); /* what it left must not fail the next ones */
    }
    return failed;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: container_checks DIR RUN_DIR WORLD_NETNS BASE TOP [NAME...]\n");
        return 2;
    }
    t.dir = argv[1], t.run_dir = argv[2], t.world = argv[3], t.base = argv[4], t.top = argv[5];
    t.loop = event_base_new();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!t.loop || !start_engine()) {
        printf("not ok - the engine starts: %s\n", t.why);
        return 1;
    }
    unsigned failed = run_checks(checks_of_life, argv + 6);
    failed += run_checks(checks_of_remains, argv + 6);
    start_over();
    if (t.engine)
        (void)container_engine_uninstall(t.engine, NULL);
    stop_engine();
    event_base_free(t.loop);
    return failed > 0;
}
