#include "tests/unit/lib/runner.h"

#include <math.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "common/base/metrics.h"

static double value_of(const struct strbuf *out, const char *name) {
    _cleanup_(freep) char *line = str_printf("\n%s ", name);
    const char *at = strstr(out->p, line);
    return at ? strtod(at + strlen(line), NULL) : -1;
}

START_TEST(a_process_tells_of_itself) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    metrics_put_process(&out);
    ck_assert(!out.failed);
    ck_assert_ptr_nonnull(strstr(out.p, "berth_build_info{version=\"" BERTH_VERSION "\"} 1\n"));
    ck_assert_double_ge(value_of(&out, "process_open_fds"), 3);
    ck_assert_double_ge(value_of(&out, "process_max_fds"), value_of(&out, "process_open_fds"));
    ck_assert_double_gt(value_of(&out, "process_resident_memory_bytes"), 100000);
    ck_assert_double_ge(value_of(&out, "process_cpu_seconds_total"), 0);
    ck_assert_double_le(fabs(value_of(&out, "process_start_time_seconds") - (double)time(NULL)),
                        60);
}
END_TEST

START_TEST(open_descriptors_are_counted_one_by_one) {
    _cleanup_(strbuf_fini) struct strbuf before = {0}, after = {0};
    int fds[2];
    metrics_put_process(&before);
    ck_assert_int_eq(pipe(fds), 0);
    metrics_put_process(&after);
    ck_assert_double_eq(value_of(&after, "process_open_fds"),
                        value_of(&before, "process_open_fds") + 2);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_disk_is_told_or_left_out) {
    _cleanup_(strbuf_fini) struct strbuf out = {0}, none = {0};
    strbuf_puts(&none, "");
    metrics_put_disk(&out, "/");
    ck_assert_double_gt(value_of(&out, "berth_state_bytes"), 0);
    ck_assert_double_ge(value_of(&out, "berth_state_bytes"),
                        value_of(&out, "berth_state_free_bytes"));
    metrics_put_disk(&none, "/nowhere/at/all");
    metrics_put_disk(&none, NULL);
    ck_assert_uint_eq(none.n, 0);
}
END_TEST

START_TEST(a_histogram_is_cumulative) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    struct histogram h = {0};
    const double took[] = {0, 0.001, 0.0011, 0.3, 10, 11};
    for (size_t i = 0; i < ARRAY_SIZE(took); i++)
        histogram_add(&h, took[i]);
    histogram_put(&h, &out, "x_seconds", "Help.");
    ck_assert_str_eq(out.p, "# HELP x_seconds Help.\n# TYPE x_seconds histogram\n"
                            "x_seconds_bucket{le=\"0.001\"} 2\n"
                            "x_seconds_bucket{le=\"0.005\"} 3\n"
                            "x_seconds_bucket{le=\"0.025\"} 3\n"
                            "x_seconds_bucket{le=\"0.1\"} 3\n"
                            "x_seconds_bucket{le=\"0.5\"} 4\n"
                            "x_seconds_bucket{le=\"2.5\"} 4\n"
                            "x_seconds_bucket{le=\"10\"} 5\n"
                            "x_seconds_bucket{le=\"+Inf\"} 6\n"
                            "x_seconds_sum 21.302099999999999\n"
                            "x_seconds_count 6\n");
}
END_TEST

START_TEST(a_certificate_has_its_end) {
    X509 *x = X509_new();
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    ck_assert_ptr_nonnull(x);
    ck_assert_ptr_nonnull(ASN1_TIME_set(X509_getm_notAfter(x), 1900000000));
    ck_assert_int_eq(certificate_not_after(x), 1900000000);
    X509_free(x);
    ck_assert_int_eq(certificate_not_after(NULL), 0);
    strbuf_puts(&out, "");
    metrics_put_certificate(&out, 0);
    ck_assert_uint_eq(out.n, 0);
    metrics_put_certificate(&out, 1900000000);
    ck_assert_double_eq(value_of(&out, "berth_certificate_not_after_seconds"), 1900000000);
}
END_TEST

RUN_TESTS("base/metrics", a_process_tells_of_itself, open_descriptors_are_counted_one_by_one,
          a_disk_is_told_or_left_out, a_histogram_is_cumulative, a_certificate_has_its_end)
