/* A websocket client's bytes, frame after frame: each takes what is there, or ends it. */
#include "controller/api/websocket.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + 1);
    assert(copy);
    memcpy(copy, data, size);
    for (size_t at = 0; at < size;) {
        struct websocket_frame f;
        int used = websocket_parse(copy + at, size - at, &f);
        if (used <= 0)
            break;
        assert((size_t)used <= size - at && f.payload_n <= WEBSOCKET_FRAME_MAX);
        assert(f.payload + f.payload_n == copy + at + used);
        at += (size_t)used;
    }
    free(copy);
    return 0;
}
