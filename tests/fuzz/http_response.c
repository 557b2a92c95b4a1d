/* A response that is accepted goes on in a form that is read the same way, strictly this time. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "router/buf.h"
#include "router/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct head h, again;
    static char out[BUF_HEADROOM + BUF_READ];
    struct refusal why;
    size_t scanned = 0;
    if (size > BUF_READ)
        return 0;
    ssize_t end = head_end((const char *)data, size, &scanned, false);
    if (end <= 0)
        return 0;
    if (head_parse_response(&h, (struct slice){(const char *)data, (size_t)end}, false, &why) < 0) {
        assert(why.status == 502 && why.why);
        return 0;
    }
    struct response_facts facts = {.request_id = {"id", 2}, .client_minor = 1, .body = h.body};
    if (h.body == BODY_UNTIL_CLOSE)
        facts.body = BODY_CHUNKED;
    size_t n = rewrite_response(&h, &facts, out, sizeof out);
    assert(n > 0);
    scanned = 0;
    assert(head_end(out, n, &scanned, true) == (ssize_t)n);
    int r = head_parse_response(&again, (struct slice){out, n}, false, &why);
    if (r < 0) { /* only the router's own fields beyond the limit may do that */
        assert(h.count > HEAD_MAX_FIELDS - 4);
        return 0;
    }
    assert(again.status == h.status && again.body == facts.body);
    assert(h.body != BODY_LENGTH || again.length == h.length);
    return 0;
}
