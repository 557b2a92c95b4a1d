/* A request that is accepted goes on in a form that the same parser reads the same way: with the
 * same target, Host and framing, and without a hop-by-hop field. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "router/buf.h"
#include "router/rewrite.h"

static const struct request_facts facts = {
    .client_ip = {"192.0.2.7", 9},
    .proto = {"http", 4},
    .request_id = {"id", 2},
    .app_guid = {"app", 3},
    .instance_id = {"instance", 8},
    .instance_index = {"0", 1},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct head h, again;
    static char out[BUF_HEADROOM + BUF_READ];
    struct refusal why;
    size_t scanned = 0;
    if (size > BUF_READ)
        return 0;
    ssize_t end = head_end((const char *)data, size, &scanned, true);
    if (end <= 0)
        return 0;
    if (head_parse_request(&h, (struct slice){(const char *)data, (size_t)end}, &why) < 0) {
        assert(why.status >= 400 && why.status <= 505 && why.why);
        return 0;
    }
    if (!h.host_name.n) /* answered here: never goes on */
        return 0;
    size_t n = rewrite_request(&h, &facts, out, sizeof out);
    assert(n > 0);
    scanned = 0;
    assert(head_end(out, n, &scanned, true) == (ssize_t)n);
    int r = head_parse_request(&again, (struct slice){out, n}, &why);
    if (r < 0 && why.status == 431) /* the router's own fields are beyond the limit */
        return 0;
    assert(r == 0);
    assert(again.body == h.body && again.length == h.length && again.minor == 1);
    assert(slice_eq(again.method, h.method) && slice_eq(again.host, h.host));
    assert(again.target.n == h.target.n + h.add_slash);
    assert(slice_eq(again.upgrade, h.upgrade));
    assert(!head_find(&again, FIELD_KEEP_ALIVE) && !head_find(&again, FIELD_PROXY_CONNECTION));
    return 0;
}
