/* Whatever reference_parse() takes must fit its fields and read the same when formatted. */
#include "common/registry/reference.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_(freep) char *text = str_ndup((const char *)data, size);
    struct reference ref = {0}, again = {0};
    struct error err = {0};
    char formatted[640];
    if (reference_parse(text, &ref, &err) < 0) {
        assert(err.code && str_is_utf8(err.msg, strlen(err.msg)));
        return 0;
    }
    reference_format(&ref, formatted, sizeof formatted);
    assert(reference_parse(formatted, &again, NULL) == 0);
    assert(memcmp(&ref, &again, sizeof ref) == 0);
    assert(*ref.registry && *ref.repository && (*ref.tag || *ref.digest));
    return 0;
}
