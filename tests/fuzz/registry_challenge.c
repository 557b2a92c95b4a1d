/* A WWW-Authenticate value: at most as many challenges as there is room for, all terminated. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/registry/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_(freep) char *text = str_ndup((const char *)data, size);
    struct challenge found[3];
    size_t n = challenge_parse(text, found, ARRAY_SIZE(found));
    assert(n <= ARRAY_SIZE(found));
    for (size_t i = 0; i < n; i++)
        assert(strnlen(found[i].realm, sizeof found[i].realm) < sizeof found[i].realm &&
               strnlen(found[i].service, sizeof found[i].service) < sizeof found[i].service &&
               strnlen(found[i].error, sizeof found[i].error) < sizeof found[i].error);
    return 0;
}
