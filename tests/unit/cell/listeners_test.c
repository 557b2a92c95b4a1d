#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cell/listeners.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define HEADER "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
#define REST   " 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"

static const char *describe(const char *v4, const char *v6, uint16_t port) {
    static char buf[512];
    struct listener list[LISTENERS_MAX];
    size_t n = 0;
    listeners_parse(v4, false, list, &n);
    listeners_parse(v6, true, list, &n);
    listeners_describe(list, n, port, buf, sizeof buf);
    return buf;
}

START_TEST(the_hint_says_where_the_app_listens) {
    ck_assert_str_eq(describe(HEADER "   0: 0100007F:0BB8 00000000:0000 0A" REST, HEADER, 8080),
                     "the app listens on 127.0.0.1:3000 while traffic goes to port 8080");
    ck_assert_str_eq(describe(HEADER "   0: 0100007F:1F90 00000000:0000 0A" REST, HEADER, 8080),
                     "the app listens on 127.0.0.1:8080, which only the container itself can "
                     "reach: it must listen on 0.0.0.0");
    ck_assert_str_eq(describe(HEADER, HEADER, 80),
                     "the app listens on no TCP port while traffic goes to port 80");
    ck_assert_str_eq(describe(HEADER "   0: 00000000:0050 00000000:0000 0A" REST,
                              HEADER "   0: 00000000000000000000000000000000:0016 "
                                     "00000000000000000000000000000000:0000 0A" REST,
                              8080),
                     "the app listens on [::]:22, 0.0.0.0:80 while traffic goes to port 8080");
    /* connections do not count, nor does an app that does listen */
    ck_assert_str_eq(describe(HEADER "   0: 0100007F:0BB8 0100007F:1F90 01" REST, HEADER, 80),
                     "the app listens on no TCP port while traffic goes to port 80");
    ck_assert_str_eq(describe(HEADER "   0: 00000000:1F90 00000000:0000 0A" REST, HEADER, 8080),
                     "");
}
END_TEST

START_TEST(rubbish_is_passed_over) {
    ck_assert_str_eq(describe("", "", 1),
                     "the app listens on no TCP port while traffic goes to port 1");
    ck_assert_str_eq(describe("x\ny\n0: zz:11 00:00 0A\n 1: 00:00 00:00 0A\n\n", "\n\n", 1),
                     "the app listens on no TCP port while traffic goes to port 1");
    struct strbuf many = {0};
    strbuf_puts(&many, HEADER);
    for (int i = 1; i < 200; i++)
        strbuf_printf(&many, "  %d: 00000000:%04X 00000000:0000 0A" REST, i, 1000 + i);
    ck_assert(str_starts(describe(many.p, "", 1), "the app listens on 0.0.0.0:1001, "));
    strbuf_fini(&many);
}
END_TEST

START_TEST(our_own_listener_is_found) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    char buf[2048], expect[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    listeners_of(getpid(), ntohs(a.sin_port), buf, sizeof buf);
    snprintf(expect, sizeof expect, "127.0.0.1:%u", ntohs(a.sin_port));
    ck_assert_msg(strstr(buf, expect) || strstr(buf, ", "), "%s", buf); /* a busy host: cut */
    listeners_of(0, 80, buf, sizeof buf);
    ck_assert_str_eq(buf, "");
    close(fd);
}
END_TEST

RUN_TESTS("cell/listeners", the_hint_says_where_the_app_listens, rubbish_is_passed_over,
          our_own_listener_is_found)
