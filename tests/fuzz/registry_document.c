/* A registry's JSON as a manifest or index, then as an image config: any bytes, no harm, and what
 * is taken keeps its promises. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/registry/digest.h"
#include "common/registry/document.h"

static void check_manifest(struct slice json, const struct platform *platform) {
    struct manifest m = {0};
    if (manifest_parse(json, platform, &m, NULL) == 0) {
        assert(digest_is_valid(m.next.digest) && m.next.size <= DOCUMENT_MAX_BYTES);
        assert(m.is_index == (m.layer_count == 0) && m.layer_count <= DOCUMENT_MAX_LAYERS);
        for (size_t i = 0; i < m.layer_count; i++)
            assert(digest_is_valid(m.layers[i].digest) && *m.layers[i].media_type);
    }
    free(m.layers);
}

static void check_config(struct slice json, const struct platform *platform) {
    _cleanup_(registry_image_freep) struct registry_image *image = mem_zalloc(sizeof *image);
    struct registry_layer *layers = mem_calloc(2, sizeof *layers);
    image->layers = layers;
    image->layer_count = 2;
    if (image_config_parse(json, platform, image, NULL) < 0)
        return;
    assert(digest_is_valid(layers[0].diff_id) && digest_is_valid(layers[1].diff_id));
    assert(image->entrypoint && image->cmd && image->env && image->config_json);
    for (size_t i = 0; i < image->port_count; i++)
        assert(image->ports[i].number > 0 &&
               (i == 0 || image->ports[i - 1].number <= image->ports[i].number));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct platform platform = platform_of("x86_64");
    struct slice json = {(const char *)data, size};
    check_manifest(json, &platform);
    check_config(json, &platform);
    return 0;
}
