/* sample.c - lattice-app: a small web app to see Berth work, and to be told to misbehave.
 *
 * One static binary, nothing of Berth in it. It listens on $PORT (8080) and answers:
 *   GET  /            a greeting with the instance's index
 *   GET  /index       the index alone
 *   GET  /env         its environment, as JSON; /env/NAME one value
 *   GET  /request     the request as it arrived, as text
 *   GET  /ids         its user, group and uid map
 *   POST /echo        the body
 *   GET  /bytes/N     N bytes
 *   GET  /sleep/MS    answers after a while
 *   GET  /log/N       writes N lines to standard output
 *   GET  /exit/N      exits with status N; /crash aborts
 *   GET  /leak/MB     takes memory and keeps it (the kernel ends it at the limit)
 *   GET  /fill/MB     writes a file; tells what the file system said when it was full
 *   GET  /upgrade     with "Upgrade: echo": echoes bytes until either side closes
 * Words on the command line: `exit N` ends at once; `deaf` never listens. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX   16384
#define STACK_SIZE (128 * 1024)

extern char **environ;

struct request {
    int fd;
    char head[HEAD_MAX]; /* NUL-terminated; the request line is cut out of `line` */
    size_t head_n;       /* with the empty line */
    size_t have;         /* bytes in head, may hold the start of the body */
    char method[16], path[1024];
    size_t body_n;
    bool close;
};

static void write_all(int fd, const void *p, size_t n) {
    for (const char *q = p; n;) {
        ssize_t done = write(fd, q, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        q += done;
        n -= (size_t)done;
    }
}

static void answer(struct request *r, int status, const char *type, const void *body, size_t n) {
    char head[256];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                       status, status == 200 ? "OK" : "Not Found", type, n,
                       r->close ? "Connection: close\r\n" : "");
    write_all(r->fd, head, (size_t)len);
    if (strcmp(r->method, "HEAD") != 0)
        write_all(r->fd, body, n);
}

static void answer_text(struct request *r, const char *text) {
    answer(r, 200, "text/plain; charset=utf-8", text, strlen(text));
}

static const char *env_or(const char *name, const char *def) {
    const char *value = getenv(name);
    return value ? value : def;
}

static const char *header(const struct request *r, const char *name, size_t *n) {
    size_t len = strlen(name);
    for (const char *p = strstr(r->head, "\r\n"); p && p[2] != '\r'; p = strstr(p + 2, "\r\n")) {
        if (strncasecmp(p + 2, name, len) != 0 || p[2 + len] != ':')
            continue;
        const char *v = p + 3 + len;
        v += strspn(v, " ");
        *n = strcspn(v, "\r");
        return v;
    }
    return NULL;
}

static void json_string(FILE *out, const char *s, size_t n) {
    fputc('"', out);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void answer_env(struct request *r) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return;
    fputc('{', out);
    for (char **e = environ; *e; e++) {
        size_t name = strcspn(*e, "=");
        fputs(e == environ ? "" : ",", out);
        json_string(out, *e, name);
        fputc(':', out);
        json_string(out, *e + name + 1, strlen(*e + name + 1));
    }
    fputs("}\n", out);
    fclose(out);
    answer(r, 200, "application/json", text, n);
    free(text);
}

static void answer_ids(struct request *r) {
    char text[1024];
    int n = snprintf(text, sizeof text, "uid=%u gid=%u\n", getuid(), getgid());
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t more = fd < 0 ? 0 : read(fd, text + n, sizeof text - (size_t)n - 1);
    if (fd >= 0)
        close(fd);
    text[n + (more > 0 ? more : 0)] = 0;
    answer_text(r, text);
}

/* The rest of the body: what came with the head, then what is still on the wire. */
static void answer_echo(struct request *r) {
    char chunk[65536], head[160];
    size_t n = r->body_n, have = r->have - r->head_n;
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       n);
    write_all(r->fd, head, (size_t)len);
    have = have < n ? have : n;
    write_all(r->fd, r->head + r->head_n, have);
    for (n -= have; n;) {
        ssize_t got = read(r->fd, chunk, n < sizeof chunk ? n : sizeof chunk);
        if (got <= 0) {
            r->close = true;
            return;
        }
        write_all(r->fd, chunk, (size_t)got);
        n -= (size_t)got;
    }
    r->have = r->head_n;
}

static void answer_bytes(struct request *r, size_t n) {
    char chunk[65536], head[160];
    memset(chunk, 'b', sizeof chunk);
    int len = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    write_all(r->fd, head, (size_t)len);
    while (n) {
        size_t part = n < sizeof chunk ? n : sizeof chunk;
        write_all(r->fd, chunk, part);
        n -= part;
    }
}

static void leak(struct request *r, size_t mb) {
    for (size_t i = 0; i < mb; i++) {
        char *p = malloc(1 << 20);
        if (p)
            memset(p, 1, 1 << 20);
    }
    answer_text(r, "leaked\n");
}

static void fill(struct request *r, size_t mb) {
    static char chunk[1 << 20];
    char text[128];
    size_t done = 0;
    int fd = open("fill", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int failed = fd < 0 ? errno : 0;
    memset(chunk, 'f', sizeof chunk);
    while (!failed && done < mb << 20) {
        ssize_t n = write(fd, chunk, sizeof chunk);
        if (n < 0)
            failed = errno;
        else
            done += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    snprintf(text, sizeof text, "wrote %zu bytes: %s\n", done, failed ? strerror(failed) : "ok");
    answer_text(r, text);
}

static void echo_upgraded(struct request *r) {
    char chunk[4096];
    static const char head[] =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    write_all(r->fd, head, sizeof head - 1);
    write_all(r->fd, r->head + r->head_n, r->have - r->head_n);
    for (ssize_t n; (n = read(r->fd, chunk, sizeof chunk)) > 0;)
        write_all(r->fd, chunk, (size_t)n);
    r->close = true;
}

static void log_lines(struct request *r, size_t n) {
    for (size_t i = 0; i < n; i++)
        printf("line %zu of %zu\n", i + 1, n);
    answer_text(r, "logged\n");
}

static size_t number_after(const char *path, const char *prefix) {
    return (size_t)strtoull(path + strlen(prefix), NULL, 10);
}

static bool is(const char *path, const char *prefix) {
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static void handle(struct request *r) {
    const char *path = r->path;
    char text[512];
    size_t n;
    if (strcmp(path, "/") == 0) {
        snprintf(text, sizeof text, "Hello from %s, instance %s, on port %s.\n",
                 env_or("APP_NAME", "lattice-app"), env_or("INSTANCE_INDEX", "?"),
                 env_or("PORT", "8080"));
        answer_text(r, text);
    } else if (strcmp(path, "/index") == 0) {
        answer_text(r, env_or("INSTANCE_INDEX", "?"));
    } else if (strcmp(path, "/env") == 0) {
        answer_env(r);
    } else if (is(path, "/env/")) {
        answer_text(r, env_or(path + strlen("/env/"), ""));
    } else if (strcmp(path, "/request") == 0) {
        answer(r, 200, "text/plain", r->head, r->head_n);
    } else if (strcmp(path, "/ids") == 0) {
        answer_ids(r);
    } else if (strcmp(path, "/echo") == 0) {
        answer_echo(r);
    } else if (is(path, "/bytes/")) {
        answer_bytes(r, number_after(path, "/bytes/"));
    } else if (is(path, "/sleep/")) {
        usleep((useconds_t)number_after(path, "/sleep/") * 1000);
        answer_text(r, "slept\n");
    } else if (is(path, "/log/")) {
        log_lines(r, number_after(path, "/log/"));
    } else if (is(path, "/exit/")) {
        printf("told to exit\n");
        _exit((int)number_after(path, "/exit/"));
    } else if (strcmp(path, "/crash") == 0) {
        abort();
    } else if (is(path, "/leak/")) {
        leak(r, number_after(path, "/leak/"));
    } else if (is(path, "/fill/")) {
        fill(r, number_after(path, "/fill/"));
    } else if (strcmp(path, "/upgrade") == 0 && header(r, "Upgrade", &n)) {
        echo_upgraded(r);
    } else {
        answer(r, 404, "text/plain", "no such page\n", 13);
    }
}

/* Reads one request head; false at the end of the connection. */
static bool read_head(struct request *r) {
    char *end;
    while (r->head[r->have] = 0, !(end = strstr(r->head, "\r\n\r\n"))) {
        if (r->have + 1 >= HEAD_MAX)
            return false;
        ssize_t n = read(r->fd, r->head + r->have, HEAD_MAX - 1 - r->have);
        if (n <= 0)
            return false;
        r->have += (size_t)n;
    }
    r->head_n = (size_t)(end - r->head) + 4;
    r->body_n = 0;
    if (sscanf(r->head, "%15s %1023s", r->method, r->path) != 2)
        return false;
    size_t n;
    const char *length = header(r, "Content-Length", &n);
    r->body_n = length ? (size_t)strtoull(length, NULL, 10) : 0;
    const char *connection = header(r, "Connection", &n);
    r->close = connection && strncasecmp(connection, "close", 5) == 0;
    return true;
}

/* Drops the request and what is left of its body; keeps the start of the next one. */
static bool next_request(struct request *r) {
    size_t used = r->head_n, have = r->have - r->head_n;
    size_t body = strcmp(r->path, "/echo") == 0 ? 0 : r->body_n;
    if (body > have) {
        char sink[4096];
        for (body -= have; body;) {
            ssize_t n = read(r->fd, sink, body < sizeof sink ? body : sizeof sink);
            if (n <= 0)
                return false;
            body -= (size_t)n;
        }
        r->have = 0;
        return true;
    }
    used += body;
    memmove(r->head, r->head + used, r->have - used);
    r->have -= used;
    return true;
}

static void *serve(void *arg) {
    struct request *r = arg;
    int one = 1;
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    do {
        if (!read_head(r))
            break;
        handle(r);
        fflush(stdout);
    } while (!r->close && next_request(r));
    close(r->fd);
    free(r);
    return NULL;
}

static void on_term(int sig) {
    static const char text[] = "asked to stop\n";
    (void)sig;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(0);
}

static int listen_on(unsigned short port) {
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in at4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool v6 = fd >= 0;
    if (!v6)
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int r = v6 ? bind(fd, (struct sockaddr *)&at, sizeof at)
               : bind(fd, (struct sockaddr *)&at4, sizeof at4);
    return r < 0 || listen(fd, 256) < 0 ? -1 : fd;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    setlinebuf(stdout);
    if (argc == 3 && strcmp(argv[1], "exit") == 0)
        return atoi(argv[2]);
    if (argc == 2 && strcmp(argv[1], "deaf") == 0) {
        printf("not listening\n");
        fflush(stdout);
        for (;;)
            pause();
    }
    unsigned short port = (unsigned short)atoi(env_or("PORT", "8080"));
    int fd = listen_on(port);
    if (fd < 0) {
        fprintf(stderr, "cannot listen on port %u: %s\n", port, strerror(errno));
        return 1;
    }
    printf("listening on port %u, instance %s\n", port, env_or("INSTANCE_INDEX", "?"));
    fflush(stdout);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE + 65536);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        struct request *r = client < 0 ? NULL : calloc(1, sizeof *r);
        pthread_t thread;
        if (!r) {
            if (client >= 0)
                close(client);
            continue;
        }
        r->fd = client;
        if (pthread_create(&thread, &attr, serve, r) != 0) {
            close(client);
            free(r);
        }
    }
}
