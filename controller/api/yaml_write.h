/* yaml_write.h - a JSON tree as YAML text that yaml_parse() reads back as the same tree. */
#ifndef CONTROLLER_API_YAML_WRITE_H
#define CONTROLLER_API_YAML_WRITE_H

#include <jansson.h>

/* Owned; NULL: out of memory, or `tree` is NULL. */
char *yaml_write(const json_t *tree);

#endif
