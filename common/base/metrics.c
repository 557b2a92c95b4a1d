#include "common/base/metrics.h"

#include <dirent.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/config.h"
#include "common/base/daemon.h"

static double open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    double n = 0;
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the one that looked */
}

static double resident_bytes(void) {
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm)
        return 0;
    if (fscanf(statm, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void) {
    struct timespec t = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* When this file was loaded is near enough. */
static double start_seconds;

__attribute__((constructor)) static void note_start(void) {
    start_seconds = (double)clock_wall_ns() / 1e9;
}

void metrics_put_process(struct strbuf *out) {
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    strbuf_puts(out, "# HELP berth_build_info 1, with the version of the running program.\n"
                     "# TYPE berth_build_info gauge\n"
                     "berth_build_info{version=\"" BERTH_VERSION "\"} 1\n");
    metric_put(out, "process_open_fds", "gauge", "Open file descriptors.", open_files());
    metric_put(out, "process_max_fds", "gauge", "The most of them.", (double)files.rlim_cur);
    metric_put(out, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    metric_put(out, "process_cpu_seconds_total", "counter", "CPU time used.", cpu_seconds());
    metric_put(out, "process_start_time_seconds", "gauge", "When it started, since 1970.",
               start_seconds);
}

void metrics_put_disk(struct strbuf *out, const char *dir) {
    struct statvfs st;
    if (str_empty(dir) || statvfs(dir, &st) < 0)
        return;
    metric_put(out, "berth_state_bytes", "gauge", "Size of the file system of state_dir.",
               (double)st.f_blocks * (double)st.f_frsize);
    metric_put(out, "berth_state_free_bytes", "gauge", "What is free there.",
               (double)st.f_bavail * (double)st.f_frsize);
}

void metrics_put_certificate(struct strbuf *out, int64_t not_after) {
    if (not_after)
        metric_put(out, "berth_certificate_not_after_seconds", "gauge",
                   "When the first of the certificates in use ends, since 1970.",
                   (double)not_after);
}

int64_t certificate_not_after(const struct x509_st *x509) {
    struct tm tm;
    if (!x509 || ASN1_TIME_to_tm(X509_get0_notAfter(x509), &tm) != 1)
        return 0;
    return timegm(&tm);
}

static const double bounds[] = HISTOGRAM_BOUNDS;
_Static_assert(ARRAY_SIZE(bounds) == HISTOGRAM_BUCKETS, "one counter a bound");

void histogram_add(struct histogram *h, double seconds) {
    size_t i = 0;
    while (i < HISTOGRAM_BUCKETS && seconds > bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
}

void histogram_put(const struct histogram *h, struct strbuf *out, const char *name,
                   const char *help) {
    uint64_t n = 0;
    strbuf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        n += h->counts[i];
        strbuf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i], (unsigned long long)n);
    }
    n += h->counts[HISTOGRAM_BUCKETS];
    strbuf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.17g\n%s_count %llu\n", name,
                  (unsigned long long)n, name, h->sum, name, (unsigned long long)n);
}
