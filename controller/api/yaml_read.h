/* yaml_read.h - a YAML document from a user as a JSON tree: bounded, one document, no anchors. */
#ifndef CONTROLLER_API_YAML_READ_H
#define CONTROLLER_API_YAML_READ_H

#include <jansson.h>
#include <stddef.h>

#include "common/base/error.h"

/* Owned tree. Plain null, true/false and decimal integers become that; everything else, also 1.50
 * and 0755, stays the text that was written. -EINVAL with line and reason; -E2BIG: too deep or too
 * many nodes; -ENOMEM. */
int yaml_parse(const char *text, size_t n, json_t **ret, struct error *err);

#endif
