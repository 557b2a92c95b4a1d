#include "tests/unit/lib/runner.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/registry/layer_id.h"

START_TEST(repositories_are_told_apart_and_none_is_everybodys) {
    static const char *const names[][2] = {
        {"docker.io", "a/b"},        {"docker.io/a", "b"},   {"docker.io", "a"},
        {"docker.ioa", "/b"},        {"", "docker.io/a/b"},  {"", ""},
        {"reg.example:5000", "a/b"}, {"reg.example", "a/b"},
    };
    const struct repository_id nobody = {0};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct repository_id one = repository_id_of(names[i][0], names[i][1]);
        ck_assert(!repository_id_is_open(&one) && !repository_id_equal(&one, &nobody));
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            struct repository_id other = repository_id_of(names[k][0], names[k][1]);
            ck_assert_int_eq(repository_id_equal(&one, &other), i == k);
        }
    }
    ck_assert(repository_id_is_open(&repository_id_open) && !repository_id_is_open(&nobody));
}
END_TEST

START_TEST(a_layers_id_binds_its_digest_to_its_repository) {
    const struct repository_id a = repository_id_of("reg", "a"), b = repository_id_of("reg", "b"),
                               nobody = {0};
    uint8_t digest[LAYER_ID_SIZE] = "digest", other[LAYER_ID_SIZE] = "digest.",
            ids[5][LAYER_ID_SIZE];
    layer_id(digest, &repository_id_open, ids[0]);
    ck_assert_mem_eq(ids[0], digest, sizeof digest);
    layer_id(digest, &a, ids[1]);
    layer_id(digest, &b, ids[2]);
    layer_id(other, &a, ids[3]);
    layer_id(digest, &nobody, ids[4]);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_int_ne(memcmp(ids[i], ids[k], LAYER_ID_SIZE), 0);
    layer_id(digest, &a, ids[0]);
    ck_assert_mem_eq(ids[0], ids[1], LAYER_ID_SIZE);
}
END_TEST

/* Cells and controllers of different versions speak of the same ids. */
START_TEST(ids_are_these_for_good) {
    const struct repository_id of = repository_id_of("docker.io", "library/busybox");
    uint8_t digest[LAYER_ID_SIZE] = {0}, id[LAYER_ID_SIZE];
    char text[2 * LAYER_ID_SIZE + 1];
    hex_encode(of.v, sizeof of.v, text);
    ck_assert_str_eq(text, "5b860db48a3183880cb1edb2cf5466e5");
    layer_id(digest, &of, id);
    hex_encode(id, sizeof id, text);
    ck_assert_str_eq(text, "d21d16aed1b2c253e4079cba597d61f20e8e87d022d8ac1e26dc3c29c99ee59a");
}
END_TEST

RUN_TESTS("registry/layer_id", repositories_are_told_apart_and_none_is_everybodys,
          a_layers_id_binds_its_digest_to_its_repository, ids_are_these_for_good)
