/* log.h - one line an event, to stderr: level, event in words, then key=value fields.
 *
 *     log_info("instance started", "app=%s index=%u", guid, index);
 *     ts=2026-01-02T03:04:05.678Z level=info msg="instance started" app=... index=0
 *
 * Values with spaces or quotes are given with %s wrapped in log_quote(). `--log-format json` turns
 * the same line into one JSON object. Library folders return errors; a daemon's own folder logs
 * once, where it is decided what to do. Never a secret in a log. Thread-safe. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include "common/base/error.h"

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/* level: "debug" | "info" | "warn" | "error"; format: "text" | "json". On another word -EINVAL, and
 * all stays as it is. */
int log_setup(const char *level, const char *format, struct error *err);

/* Their rows in the option table of `struct target` (common/base/config.h). */
#define LOG_OPTIONS(target)                                                                        \
    {"log_level", OPTION_STRING, offsetof(target, log_level), "info",                              \
     .help = "debug, info, warn or error"},                                                        \
    {                                                                                              \
        "log_format", OPTION_STRING, offsetof(target, log_format), "text", .help = "text or json"  \
    }

void log_line(enum log_level level, const char *msg, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(msg, ...) log_line(LEVEL_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...)  log_line(LEVEL_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...)  log_line(LEVEL_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) log_line(LEVEL_ERROR, msg, __VA_ARGS__)

/* s as a quoted value ("...", with \" \\ \n and control bytes escaped) in one of a few per-thread
 * buffers: valid for this log call only. Cut at about 600 bytes. */
const char *log_quote(const char *s);

#endif
