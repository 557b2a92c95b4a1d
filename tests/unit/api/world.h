/* world.h - one object of each kind, in a space and an org of their own, and paths to them. */
#ifndef TESTS_UNIT_API_WORLD_H
#define TESTS_UNIT_API_WORLD_H

#include "tests/unit/api/harness.h"

extern char world_org[GUID_SIZE], world_space[GUID_SIZE], world_app[GUID_SIZE],
    world_package[GUID_SIZE], world_droplet[GUID_SIZE], world_build[GUID_SIZE],
    world_domain[GUID_SIZE], world_route[GUID_SIZE], world_service[GUID_SIZE],
    world_binding[GUID_SIZE], world_role[GUID_SIZE], world_event[GUID_SIZE], world_task[GUID_SIZE];

/* Makes all of it (again, in another org), as the admin. */
void world_up(void);

/* POST as the admin; %s of `format` are guids, ' stands for ". */
__attribute__((format(printf, 3, 4))) void world_make(char guid[GUID_SIZE], const char *url,
                                                      const char *format, ...);

/* The object that a path's first parameter names; `in_org`: it lies in the org, not the space. */
struct world_object {
    const char *prefix, *guid;
    bool in_org;
};
extern const struct world_object world_objects[];
/* Its place in the list; -1: the path names none. */
int world_object_of(const char *path);
/* "/v3/apps/:guid/processes/:type" of the world, `guid` being the first parameter. */
void world_path(const char *path, const char *guid, char url[300]);

#endif
