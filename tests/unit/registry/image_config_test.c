#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/registry/document.h"

#define ID "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ROOT(config)                                                                               \
    "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["  \
    "\"" ID "\"]},"                                                                                \
    "\"config\":" config "}"

static struct registry_image *parse(const char *json, size_t layers, int *ret, struct error *err) {
    struct platform platform = platform_of("x86_64");
    struct registry_image *image = mem_zalloc(sizeof *image);
    image->layers = mem_calloc(layers, sizeof *image->layers);
    image->layer_count = layers;
    *ret = image_config_parse(slice_of(json), &platform, image, err);
    return image;
}

START_TEST(what_berth_honours_is_read) {
    struct error err = {0};
    int r;
    _cleanup_(registry_image_freep) struct registry_image *image =
        parse(ROOT("{\"Entrypoint\":[\"/"
                   "e\",\"-x\"],\"Cmd\":[\"c\"],\"Env\":[\"A=b\",\"C=\",\"odd\",\"=x\",\"D=e=f\"],"
                   "\"User\":\"app:0\",\"WorkingDir\":\"/"
                   "w\",\"StopSignal\":\"SIGINT\",\"Labels\":{\"x\":\"y\"},"
                   "\"ExposedPorts\":{\"8080/tcp\":{},\"53/"
                   "udp\":{},\"53\":{},\"9000-9002\":{},\"9001-9003/tcp\":{}}}"),
              1, &r, &err);
    ck_assert_msg(r == 0, "%s", err.msg);
    ck_assert_str_eq(image->layers[0].diff_id, ID);
    ck_assert_str_eq(image->entrypoint[1], "-x");
    ck_assert_ptr_null(image->entrypoint[2]);
    ck_assert_str_eq(image->cmd[0], "c");
    ck_assert_str_eq(image->env[0], "A=b");
    ck_assert_str_eq(image->env[1], "C=");
    ck_assert_str_eq(image->env[2], "D=e=f");
    ck_assert_ptr_null(image->env[3]);
    ck_assert_str_eq(image->user, "app:0");
    ck_assert_str_eq(image->workdir, "/w");
    ck_assert_str_eq(image->stop_signal, "SIGINT");
    static const struct registry_port ports[] = {{53, false},   {53, true},    {8080, false},
                                                 {9000, false}, {9001, false}, {9002, false},
                                                 {9003, false}};
    ck_assert_uint_eq(image->port_count, ARRAY_SIZE(ports));
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        ck_assert_uint_eq(image->ports[i].number, ports[i].number);
        ck_assert_int_eq(image->ports[i].udp, ports[i].udp);
    }
    ck_assert_int_eq(image->config_json[0], '{');
}
END_TEST

START_TEST(the_barest_image_is_fine) {
    static const char *const bare[] = {
        ROOT("null"),
        ROOT("{}"),
        ROOT("{\"Entrypoint\":null,\"Cmd\":null,\"Env\":null,\"User\":\"\",\"ExposedPorts\":null}"),
        "{\"rootfs\":{\"diff_ids\":[\"" ID "\"]}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bare); i++) {
        struct error err = {0};
        int r;
        struct registry_image *image = parse(bare[i], 1, &r, &err);
        ck_assert_msg(r == 0, "%s: %s", bare[i], err.msg);
        ck_assert_ptr_null(image->entrypoint[0]);
        ck_assert_ptr_null(image->cmd[0]);
        ck_assert_ptr_null(image->env[0]);
        ck_assert_ptr_null(image->user);
        ck_assert_uint_eq(image->port_count, 0);
        registry_image_free(image);
    }
}
END_TEST

START_TEST(malformed_configs_are_refused) {
    static const struct {
        const char *json;
        int code;
        const char *text;
    } rows[] = {
        {"", -EBADMSG, "JSON"},
        {"[]", -EBADMSG, "JSON"},
        {"{}", -EBADMSG, "diff_ids"},
        {"{\"rootfs\":{\"diff_ids\":[]}}", -EBADMSG, "0 layers"},
        {"{\"rootfs\":{\"diff_ids\":[\"" ID "\",\"" ID "\"]}}", -EBADMSG, "2 layers"},
        {"{\"rootfs\":{\"diff_ids\":[\"sha256:x\"]}}", -EBADMSG, "diff id"},
        {"{\"rootfs\":{\"diff_ids\":[null]}}", -EBADMSG, "diff id"},
        {"{\"os\":\"windows\",\"architecture\":\"amd64\"}", -ENOTSUP, "windows/amd64"},
        {"{\"os\":\"linux\",\"architecture\":\"arm64\"}", -ENOTSUP, "linux/amd64"},
        {ROOT("{\"Entrypoint\":[7]}"), -EBADMSG, "Entrypoint"},
        {ROOT("{\"Cmd\":{}}"), -EBADMSG, "Cmd"},
        {ROOT("{\"Env\":[\"A=\\u0000\"]}"), -EBADMSG, "JSON"},
        {ROOT("{\"User\":0}"), -EBADMSG, "User"},
        {ROOT("{\"ExposedPorts\":[80]}"), -EBADMSG, "ExposedPorts"},
        {ROOT("{\"ExposedPorts\":{\"0/tcp\":{}}}"), -EBADMSG, "\"0/tcp\""},
        {ROOT("{\"ExposedPorts\":{\"\\u001b\":{}}}"), -EBADMSG, "\"?\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        int r;
        registry_image_free(parse(rows[i].json, 1, &r, &err));
        ck_assert_msg(r == rows[i].code, "row %zu: %d %s", i, r, err.msg);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "row %zu: %s", i, err.msg);
    }
}
END_TEST

START_TEST(an_old_builders_single_text_is_a_list_of_one) {
    struct error err = {0};
    int r;
    _cleanup_(registry_image_freep) struct registry_image *image =
        parse(ROOT("{\"Cmd\":\"run\"}"), 1, &r, &err);
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(image->cmd[0], "run");
    ck_assert_ptr_null(image->cmd[1]);
}
END_TEST

START_TEST(ports_are_numbers_protocols_and_ranges) {
    static const struct {
        const char *text;
        unsigned first, last; /* 0: refused */
        bool udp;
    } rows[] = {
        {"80", 80, 80, false},
        {"80/tcp", 80, 80, false},
        {"80/", 80, 80, false},
        {"53/udp", 53, 53, true},
        {"5/sctp", 5, 5, true},
        {"8000-8010/tcp", 8000, 8010, false},
        {"7-7", 7, 7, false},
        {"65535/tcp", 65535, 65535, false},
        {"1-65535/udp", 1, 65535, true},
        {"0", 0},
        {"65536", 0},
        {"99999999999999999999", 0},
        {"", 0},
        {"/tcp", 0},
        {"-", 0},
        {"80-", 0},
        {"-80", 0},
        {"90-80", 0},
        {"80/TCP", 0},
        {"80/http", 0},
        {"80/tcp/udp", 0},
        {"+80", 0},
        {" 80", 0},
        {"80 ", 0},
        {"1-2-3", 0},
        {"0x50", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned first = 0, last = 0;
        bool udp = false;
        int r = port_parse(rows[i].text, &first, &last, &udp);
        ck_assert_msg(r == (rows[i].first ? 0 : -EINVAL), "\"%s\"", rows[i].text);
        ck_assert_uint_eq(first, rows[i].first);
        ck_assert_uint_eq(last, rows[i].last);
        ck_assert_msg(udp == rows[i].udp, "\"%s\"", rows[i].text);
    }
}
END_TEST

RUN_TESTS("registry/image_config", what_berth_honours_is_read, the_barest_image_is_fine,
          malformed_configs_are_refused, an_old_builders_single_text_is_a_list_of_one,
          ports_are_numbers_protocols_and_ranges)
