#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "router/buf.h"

static struct buf_pool pool;

static void add_raw(struct buf *b, const char *text) {
    ck_assert_uint_ge(buf_room(b), strlen(text));
    memcpy(b->data + b->raw_end, text, strlen(text));
    b->raw_end += (uint32_t)strlen(text);
}

START_TEST(parking_keeps_raw_bytes_and_gives_back_empty_buffers) {
    struct buf *b = buf_get(&pool), *first = b;
    buf_park(&pool, &b);
    ck_assert_ptr_null(b);
    ck_assert_int_eq(buf_unpark(&pool, &b), 0);
    ck_assert_ptr_eq(b, first); /* last in, first out */
    add_raw(b, "GET /");
    buf_park(&pool, &b);
    ck_assert_uint_eq(b->cap, BUF_SMALL);
    ck_assert_uint_eq(buf_room(b), 0);
    ck_assert_int_eq(buf_unpark(&pool, &b), 0);
    ck_assert_uint_eq(buf_raw_size(b), 5);
    ck_assert_mem_eq(b->data + b->raw, "GET /", 5);
    ck_assert_uint_eq(buf_room(b), BUF_READ - 5);
    b->out = b->raw - 1; /* something to send: not parked */
    b->out_end = b->raw;
    struct buf *same = b;
    buf_park(&pool, &b);
    ck_assert_ptr_eq(b, same);
    buf_put(&pool, b);
    buf_pool_fini(&pool);
}
END_TEST

START_TEST(raw_bytes_move_to_the_front_to_make_room) {
    struct buf *b = buf_get(&pool);
    b->raw_end += BUF_READ;
    b->out = b->out_end = b->raw = b->raw_end - 3;
    memcpy(b->data + b->raw, "abc", 3);
    ck_assert_uint_eq(buf_room(b), BUF_READ - 3);
    ck_assert_uint_eq(b->raw, BUF_HEADROOM);
    ck_assert_mem_eq(b->data + b->raw, "abc", 3);
    buf_put(&pool, b);
    buf_pool_fini(&pool);
}
END_TEST

START_TEST(a_head_goes_in_front_and_pushes_the_rest_back_when_it_must) {
    static char head[BUF_HEADROOM + 100];
    struct buf *b = buf_get(&pool);
    memset(head, 'h', sizeof head);
    add_raw(b, "bodynext");
    b->out = b->raw;
    b->out_end = b->raw += 4;
    ck_assert_int_eq(buf_prepend(b, head, sizeof head), 0);
    ck_assert_uint_eq(buf_out_size(b), sizeof head + 4);
    ck_assert_mem_eq(b->data + b->out, head, sizeof head);
    ck_assert_mem_eq(b->data + b->out + sizeof head, "body", 4);
    ck_assert_uint_eq(buf_raw_size(b), 4);
    ck_assert_mem_eq(b->data + b->raw, "next", 4);
    b->out = 0;
    b->raw_end = b->cap;
    ck_assert_int_eq(buf_prepend(b, head, 1), -ENOSPC);
    buf_put(&pool, b);
    buf_pool_fini(&pool);
}
END_TEST

RUN_TESTS("router/buf", parking_keeps_raw_bytes_and_gives_back_empty_buffers,
          raw_bytes_move_to_the_front_to_make_room,
          a_head_goes_in_front_and_pushes_the_rest_back_when_it_must)
