/* metrics.h - Prometheus text beyond metric_put() of daemon.h: the process, a disk, a certificate,
 * histograms. Every daemon shows the first alike. */
#ifndef COMMON_BASE_METRICS_H
#define COMMON_BASE_METRICS_H

#include <stdint.h>

#include "common/base/str.h"

/* berth_build_info with the version, and process_*: descriptors, memory, CPU, start time, as
 * Prometheus' own client libraries name them. */
void metrics_put_process(struct strbuf *out);

/* berth_state_bytes and berth_state_free_bytes of the file system of `dir`; nothing if it cannot be
 * looked at. */
void metrics_put_disk(struct strbuf *out, const char *dir);

/* berth_certificate_not_after_seconds: `not_after` is seconds since 1970; 0: no certificate, no
 * line. */
void metrics_put_certificate(struct strbuf *out, int64_t not_after);
/* The notAfter of an OpenSSL X509, for the above; 0 when it cannot be read or `x509` is NULL. */
struct x509_st;
int64_t certificate_not_after(const struct x509_st *x509);

/* How long things took, in seconds. One thread at a time. */
#define HISTOGRAM_BOUNDS                                                                           \
    { 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10 }
enum { HISTOGRAM_BUCKETS = 7 };
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS + 1]; /* the last: above all bounds */
    double sum;
};
void histogram_add(struct histogram *h, double seconds);
void histogram_put(const struct histogram *h, struct strbuf *out, const char *name,
                   const char *help);

#endif
