#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/str.h"

static struct {
    enum log_level level;
    bool json;
} config = {.level = LEVEL_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

int log_setup(const char *level, const char *format, struct error *err) {
    int found = -1;
    for (int i = LEVEL_DEBUG; i <= LEVEL_ERROR; i++)
        if (str_eq(level, level_names[i]))
            found = i;
    if (found < 0)
        return error_set(err, -EINVAL, "log_level: \"%s\" is none of debug, info, warn, error",
                         level ? level : "");
    if (!str_eq(format, "text") && !str_eq(format, "json"))
        return error_set(err, -EINVAL, "log_format: \"%s\" is neither text nor json",
                         format ? format : "");
    config.level = (enum log_level)found;
    config.json = str_eq(format, "json");
    return 0;
}

static void quote_into(struct strbuf *out, const char *s, size_t n) {
    strbuf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c == '\n')
            strbuf_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            strbuf_printf(out, "\\u%04x", c);
        else
            strbuf_putc(out, (char)c);
    }
    strbuf_putc(out, '"');
}

const char *log_quote(const char *s) {
    static _Thread_local char ring[4][640];
    static _Thread_local unsigned next;
    char *buf = ring[next++ % 4];
    struct strbuf text = {0};
    s = s ? s : "";
    quote_into(&text, s, strnlen(s, 600));
    snprintf(buf, sizeof ring[0], "%s", text.failed ? "\"?\"" : text.p);
    if (text.n >= sizeof ring[0])
        buf[sizeof ring[0] - 2] = '"';
    strbuf_fini(&text);
    return buf;
}

/* Turns `key=value key="quoted value"` into JSON members. */
static void fields_to_json(struct strbuf *out, const char *p) {
    while (*p) {
        p += strspn(p, " ");
        size_t key = strcspn(p, "= ");
        if (key == 0 || p[key] != '=')
            break;
        strbuf_putc(out, ',');
        quote_into(out, p, key);
        strbuf_putc(out, ':');
        p += key + 1;
        if (*p == '"') {
            const char *end = p + 1;
            while (*end && *end != '"')
                end += end[0] == '\\' && end[1] ? 2 : 1;
            strbuf_add(out, p, (size_t)(end - p));
            strbuf_putc(out, '"');
            p = *end ? end + 1 : end;
        } else {
            size_t n = strcspn(p, " ");
            quote_into(out, p, n);
            p += n;
        }
    }
}

void log_line(enum log_level level, const char *msg, const char *fields, ...) {
    if (level < config.level)
        return;
    struct timespec now;
    struct tm tm;
    char ts[40], day[24];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ts, sizeof ts, "%s.%03ldZ", day, now.tv_nsec / 1000000);

    struct strbuf text = {0}, line = {0};
    va_list ap;
    va_start(ap, fields);
    strbuf_vprintf(&text, fields, ap);
    va_end(ap);
    const char *extra = text.p ? text.p : "";
    if (config.json) {
        strbuf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level_names[level]);
        quote_into(&line, msg, strlen(msg));
        fields_to_json(&line, extra);
        strbuf_puts(&line, "}\n");
    } else {
        strbuf_printf(&line, "ts=%s level=%s msg=", ts, level_names[level]);
        quote_into(&line, msg, strlen(msg));
        strbuf_printf(&line, "%s%s\n", *extra ? " " : "", extra);
    }
    if (!line.failed && write(STDERR_FILENO, line.p, line.n) < 0)
        (void)0; /* nowhere left to say it */
    strbuf_fini(&text);
    strbuf_fini(&line);
}
