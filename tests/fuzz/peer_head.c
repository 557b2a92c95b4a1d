/* What one cell says to another before a blob: a request that is accepted is what would be sent for
 * it, an answer that is accepted is of bounded numbers. */
#include "cell/image/peer_head.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *head = (const char *)data;
    char buf[PEER_HEAD_MAX];
    struct peer_ask ask, again;
    struct peer_answer answer;
    size_t end = peer_head_end(head, size);
    assert(end <= size);
    int status = peer_ask_parse(head, size, &ask);
    assert(status == 0 || (status >= 400 && status < 500));
    if (status == 0 && *ask.token && ask.size > 0) {
        struct peer_place at = {.address = "10.0.0.1", .port = 1};
        assert(strlen(ask.hex) == 64 && strlen(ask.token) < sizeof ask.token);
        memcpy(at.token, ask.token, sizeof at.token);
        size_t n = peer_ask_format(&at, ask.hex, ask.from, ask.size, ask.doubt, buf);
        assert(peer_ask_parse(buf, n, &again) == 0);
        assert(again.from == ask.from && again.size == ask.size && again.doubt == ask.doubt &&
               memcmp(again.blob, ask.blob, sizeof ask.blob) == 0);
    }
    if (peer_answer_parse(head, size, &answer) == 0)
        assert(answer.status >= 100 && answer.status <= 999);
    return 0;
}
