#include "router/answer.h"

#include "common/base/mem.h"
#include "router/pen.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {417, "Expectation Failed"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static struct slice reason_of(int status) {
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return slice_of(reasons[i].reason);
    return SLICE_LIT("Error");
}

static void put_line(struct pen *pen, struct slice name, const char *value) {
    pen_slice(pen, name);
    pen_lit(pen, ": ");
    pen_slice(pen, slice_of(value));
    pen_lit(pen, "\r\n");
}

static size_t write_body(const struct answer *a, char *dst, size_t cap) {
    struct pen pen = {dst, dst + cap, false};
    if (a->message && !*a->message)
        return 0;
    pen_u64(&pen, (uint64_t)a->status);
    pen_char(&pen, ' ');
    pen_slice(&pen, reason_of(a->status));
    if (a->message) {
        pen_lit(&pen, ": ");
        pen_slice(&pen, slice_of(a->message));
    }
    pen_char(&pen, '\n');
    return (size_t)(pen.p - dst);
}

size_t answer_write(const struct answer *a, char *dst, size_t *ret_body_n) {
    struct pen pen = {dst, dst + ANSWER_MAX, false};
    char body[ANSWER_MAX / 2];
    size_t body_n = write_body(a, body, sizeof body);
    pen_lit(&pen, "HTTP/1.");
    pen_char(&pen, a->minor ? '1' : '0');
    pen_char(&pen, ' ');
    pen_padded(&pen, (uint64_t)a->status, 3);
    pen_char(&pen, ' ');
    pen_slice(&pen, reason_of(a->status));
    pen_lit(&pen, "\r\n");
    if (a->cache_control)
        put_line(&pen, SLICE_LIT("Cache-Control"), a->cache_control);
    if (body_n) {
        put_line(&pen, SLICE_LIT("Content-Type"), "text/plain; charset=utf-8");
        put_line(&pen, SLICE_LIT("X-Content-Type-Options"), "nosniff");
    }
    if (a->router_error)
        put_line(&pen, SLICE_LIT("X-Cf-Routererror"), a->router_error);
    if (a->request_id.n) {
        pen_lit(&pen, "X-Vcap-Request-Id: ");
        pen_slice(&pen, a->request_id);
        pen_lit(&pen, "\r\n");
    }
    if (a->status == 405)
        put_line(&pen, SLICE_LIT("Allow"), "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    pen_lit(&pen, "Content-Length: ");
    pen_u64(&pen, body_n);
    pen_lit(&pen, "\r\n");
    if (a->close)
        put_line(&pen, SLICE_LIT("Connection"), "close");
    else if (!a->minor)
        put_line(&pen, SLICE_LIT("Connection"), "keep-alive");
    pen_lit(&pen, "\r\n");
    if (a->to_head)
        body_n = 0;
    pen_put(&pen, body, body_n);
    *ret_body_n = body_n;
    return (size_t)(pen.p - dst);
}
