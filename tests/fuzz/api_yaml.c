/* A manifest's YAML: what can be read can be written and is the same when read again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "controller/api/yaml_read.h"
#include "controller/api/yaml_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *tree = NULL, *again = NULL;
    struct error err;
    if (yaml_parse((const char *)data, size, &tree, &err) < 0)
        return 0;
    char *text = yaml_write(tree);
    assert(text);
    int r = yaml_parse(text, strlen(text), &again, &err);
    assert(r == 0 && json_equal(tree, again));
    json_decref(tree);
    json_decref(again);
    free(text);
    return 0;
}
