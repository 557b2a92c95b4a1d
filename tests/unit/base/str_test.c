#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/str.h"

START_TEST(numbers_are_whole_and_in_range) {
    uint64_t v = 7;
    ck_assert_int_eq(parse_u64("0", 0, 10, &v), 0);
    ck_assert_uint_eq(v, 0);
    ck_assert_int_eq(parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
    ck_assert_uint_eq(v, UINT64_MAX);
    v = 7;
    ck_assert_int_eq(parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
    ck_assert_int_eq(parse_u64("", 0, 10, &v), -EINVAL);
    ck_assert_int_eq(parse_u64("1x", 0, 10, &v), -EINVAL);
    ck_assert_int_eq(parse_u64(" 1", 0, 10, &v), -EINVAL);
    ck_assert_int_eq(parse_u64("-1", 0, 10, &v), -EINVAL);
    ck_assert_int_eq(parse_u64("11", 0, 10, &v), -ERANGE);
    ck_assert_int_eq(parse_u64(NULL, 0, 10, &v), -EINVAL);
    ck_assert_uint_eq(v, 7);
}
END_TEST

START_TEST(sizes_have_binary_units) {
    uint64_t v = 0;
    ck_assert_int_eq(parse_bytes("64M", &v), 0);
    ck_assert_uint_eq(v, 64u << 20);
    ck_assert_int_eq(parse_bytes("1gb", &v), 0);
    ck_assert_uint_eq(v, 1u << 30);
    ck_assert_int_eq(parse_bytes("12", &v), 0);
    ck_assert_uint_eq(v, 12);
    ck_assert_int_eq(parse_bytes("M", &v), -EINVAL);
    ck_assert_int_eq(parse_bytes("1Q", &v), -EINVAL);
    ck_assert_int_eq(parse_bytes("99999999999T", &v), -ERANGE);
}
END_TEST

START_TEST(utf8_is_checked_strictly) {
    static const struct {
        const char *bytes;
        size_t n;
        bool ok;
    } rows[] = {
        {"plain", 5, true},         {"", 0, true},
        {"\xc3\xa9", 2, true},      {"\xf0\x9f\x9a\xa2", 4, true},
        {"a\0b", 3, false},         {"\xc0\xaf", 2, false},
        {"\xed\xa0\x80", 3, false}, {"\xf4\x90\x80\x80", 4, false},
        {"\xe2\x82", 2, false},     {"\xff", 1, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(str_is_utf8(rows[i].bytes, rows[i].n) == rows[i].ok, "row %zu", i);
}
END_TEST

START_TEST(base64_and_hex_round_trip) {
    uint8_t data[64];
    for (size_t n = 0; n < sizeof data; n++) {
        for (size_t i = 0; i < n; i++)
            data[i] = (uint8_t)(i * 37 + n);
        for (int url = 0; url < 2; url++) {
            _cleanup_(freep) char *text = base64_encode(data, n, url);
            _cleanup_(freep) uint8_t *back = NULL;
            size_t back_n = 99;
            ck_assert_int_eq(base64_decode(text, strlen(text), &back, &back_n), 0);
            ck_assert_uint_eq(back_n, n);
            ck_assert_mem_eq(back, data, n);
        }
        char hex[129];
        uint8_t again[64];
        hex_encode(data, n, hex);
        ck_assert_int_eq(hex_decode(hex, again, n), 0);
        ck_assert(n == 0 || memcmp(again, data, n) == 0);
    }
    uint8_t *none = NULL;
    size_t n = 0;
    ck_assert_int_eq(base64_decode("a", 1, &none, &n), -EINVAL);
    ck_assert_int_eq(base64_decode("ab!d", 4, &none, &n), -EINVAL);
    ck_assert_int_eq(base64_decode("QQ", 2, &none, &n), 0);
    free(none);
    ck_assert_int_eq(base64_decode("QR", 2, &none, &n), -EINVAL); /* left-over bits */
    ck_assert_int_eq(hex_decode("0g", &n, 1), -EINVAL);
    ck_assert_int_eq(hex_decode("001", &n, 1), -EINVAL);
}
END_TEST

START_TEST(strbuf_grows_and_is_taken) {
    struct strbuf b = {0};
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&b, "%d,", i);
    ck_assert_uint_eq(b.n, strlen(b.p));
    _cleanup_(freep) char *text = strbuf_take(&b);
    ck_assert(str_starts(text, "0,1,2,") && str_ends(text, "998,999,"));
    ck_assert_ptr_null(b.p);
    _cleanup_(freep) char *empty = strbuf_take(&b);
    ck_assert_str_eq(empty, "");
}
END_TEST

START_TEST(slices_compare_and_trim) {
    ck_assert(slice_eq_nocase(SLICE_LIT("Content-TYPE"), SLICE_LIT("content-type")));
    ck_assert(!slice_eq_nocase(SLICE_LIT("a["), SLICE_LIT("a{")));
    ck_assert(slice_eq(slice_trim(SLICE_LIT(" \t a b \t")), SLICE_LIT("a b")));
    ck_assert_uint_eq(slice_trim(SLICE_LIT("  ")).n, 0);
}
END_TEST

RUN_TESTS("base/str", numbers_are_whole_and_in_range, sizes_have_binary_units,
          utf8_is_checked_strictly, base64_and_hex_round_trip, strbuf_grows_and_is_taken,
          slices_compare_and_trim)
