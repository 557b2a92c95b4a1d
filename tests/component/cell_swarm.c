/* cell_swarm.c - many simulated cells and a few routers, for a real controller on the real bus:
 *
 *     cell_swarm CONTROL_URL LOGS_URL MASTER_KEY_FILE CELLS ZONES ROUTERS MEMORY_MB CONTAINERS
 *                START_MS STATS_MS
 *
 * A simulated cell has its own key and the three conversations of a real one. It takes assignments,
 * reports each CLAIMED at once and RUNNING START_MS +- half later (all start side by side), tells
 * new statistics of all every STATS_MS, stops what is withdrawn, sends full reports when asked and
 * pages as a real one does; it says that it holds the layers of what ran there and of what it is to
 * keep. Left out: containers, layers' bytes and who asks for them, and log lines (the Logs
 * conversation is open and idle). Cells are spread over processes, because nanomsg has at most 512
 * sockets in one; routers live in the first.
 *
 * Commands on stdin, a line each; each is answered by a line on stdout when it is done:
 *     stats                   JSON: sums over all processes
 *     die FIRST COUNT         these cells fall silent; what runs there runs on
 *     return FIRST COUNT      and speak again, with all that ran there
 *     reboot FIRST COUNT      and speak again, with nothing
 *     dump FILE               writes FILE.0 ...: a line "CELL ZONE PROCESS INDEX GUID STATE MEMORY"
 *                             for each instance of a cell that speaks
 * Ends with its standard input. */
#include "tests/component/cell_swarm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/daemon.h"
#include "common/base/fs.h"
#include "common/base/mem.h"

#define PROCESSES_MAX 32

void *need(void *p) {
    if (!p) {
        fprintf(stderr, "cell_swarm: out of memory\n");
        _exit(1);
    }
    return p;
}

/* --- nodes --- */

void identify(const struct settings *s, uint8_t kind, unsigned number, struct bus_identity *ret) {
    uint8_t id[BUS_ID_SIZE] = {kind};
    memcpy(id + BUS_ID_SIZE - sizeof number, &number, sizeof number);
    if (hub_derive_identity(s->master, s->gen, id, ret) < 0) {
        fprintf(stderr, "cell_swarm: cannot derive a key\n");
        _exit(1);
    }
}

struct bus_conversation *talk(struct process *p, const struct bus_identity *identity,
                              Berth__Hello *hello, Berth__Conversation conversation,
                              struct bus_conversation_ops ops, void *data) {
    struct bus_conversation *ret = NULL;
    struct error err = {0};
    bool logs = conversation == BERTH__CONVERSATION__CONVERSATION_LOGS;
    hello->conversation = conversation;
    ops.data = data;
    if (bus_conversation_new(&ret, p->loop, identity,
                             logs ? p->settings->logs_url : p->settings->control_url, hello, &ops,
                             &err) < 0) {
        fprintf(stderr, "cell_swarm: %s\n", err.msg);
        _exit(1);
    }
    return ret;
}

static void on_logs_open(void *data, const Berth__HelloAck *ack) {
    (void)data, (void)ack;
}

static void on_logs_reply(void *data, const ProtobufCMessage *msg) {
    (void)data, (void)msg;
}

struct bus_conversation *talk_of_nothing(struct process *p, const struct bus_identity *identity,
                                         Berth__Hello *hello) {
    return talk(p, identity, hello, BERTH__CONVERSATION__CONVERSATION_LOGS,
                (struct bus_conversation_ops){on_logs_open, on_logs_reply, NULL, NULL}, NULL);
}

/* --- commands, in a process of the swarm --- */

static void dump(struct process *p, const char *path) {
    static const char *const names[] = {"CLAIMED", "RUNNING", "STOPPING", "STOPPED"};
    _cleanup_(freep) char *name = need(str_printf("%s.%u", path, p->first / CELLS_A_PROCESS));
    FILE *out = need(fopen(name, "we"));
    for (unsigned i = 0; i < p->cell_count; i++) {
        struct cell *c = &p->cells[i];
        struct instance *in;
        if (c->silent)
            continue;
        DL_FOREACH (c->instances, in) {
            fprintf(out, "%s %s %s %u %s %s %u\n", c->name, c->zone, in->kind->process_guid,
                    in->index, in->guid, names[in->state], in->memory_mb);
        }
    }
    fclose(out);
}

static void obey(struct process *p, char *line) {
    char *rest = line, *word = strsep(&rest, " "), *first = strsep(&rest, " ");
    if (str_eq(word, "dump")) {
        dump(p, first);
        return;
    }
    unsigned from = (unsigned)strtoul(first ? first : "", NULL, 10);
    unsigned n = (unsigned)strtoul(rest ? rest : "", NULL, 10);
    for (unsigned i = 0; i < p->cell_count; i++) {
        struct cell *c = &p->cells[i];
        if (c->number < from || c->number >= from + n)
            continue;
        if (str_eq(word, "die"))
            cell_die(c);
        else if (str_eq(word, "return") || str_eq(word, "reboot"))
            cell_return(c, str_eq(word, "reboot"));
    }
}

static void on_command(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    struct process *p = arg;
    char buf[512];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0) {
        event_base_loopbreak(p->loop);
        return;
    }
    strbuf_add(&p->input, buf, (size_t)n);
    for (char *end; p->input.n && (end = memchr(p->input.p, '\n', p->input.n));) {
        size_t used = (size_t)(end - p->input.p) + 1;
        *end = '\0';
        obey(p, p->input.p);
        memmove(p->input.p, p->input.p + used, p->input.n - used);
        p->input.n -= used;
        if (write(p->answers, "\n", 1) != 1)
            event_base_loopbreak(p->loop);
    }
}

static int run_process(struct process *p) {
    static const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_bytes(&p->rng, sizeof p->rng);
    p->loop = need(event_base_new());
    struct event *ticker = need(event_new(p->loop, -1, EV_PERSIST, on_tick, p));
    struct event *commands =
        need(event_new(p->loop, p->commands, EV_READ | EV_PERSIST, on_command, p));
    event_add(ticker, &tick);
    event_add(commands, NULL);
    p->cells = need(mem_calloc(p->cell_count + 1, sizeof *p->cells));
    for (unsigned i = 0; i < p->cell_count; i++)
        cell_init(p, &p->cells[i], p->first + i);
    routers_init(p, p->first == 0 ? p->settings->routers : 0);
    event_base_dispatch(p->loop);
    return 0;
}

/* --- the parent --- */

struct child {
    pid_t pid;
    int commands, answers;
};

static int start_child(const struct settings *s, unsigned k, struct counts *counts,
                       struct child *ret) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
        return -errno;
    ret->pid = fork(); /* before nanomsg has its thread */
    if (ret->pid < 0)
        return -errno;
    if (ret->pid == 0) {
        close(down[1]);
        close(up[0]);
        struct process p = {.settings = s,
                            .counts = counts,
                            .first = k * CELLS_A_PROCESS,
                            .commands = down[0],
                            .answers = up[1]};
        p.cell_count = MIN(s->cells - p.first, (unsigned)CELLS_A_PROCESS);
        _exit(run_process(&p));
    }
    close(down[0]);
    close(up[1]);
    ret->commands = down[1];
    ret->answers = up[0];
    return 0;
}

static void print_stats(const struct counts *all, unsigned n) {
    struct counts sum = {0};
    for (unsigned i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof sum / sizeof(uint64_t); k++)
            ((uint64_t *)&sum)[k] += ((const volatile uint64_t *)&all[i])[k];
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"cells_open", sum.cells_open},     {"instances", sum.instances},
                {"claimed", sum.claimed},           {"running", sum.running},
                {"running_told", sum.running_told}, {"assigned", sum.assigned},
                {"withdrawn", sum.withdrawn},       {"ended", sum.ended},
                {"full_reports", sum.full_reports}, {"reports", sum.reports},
                {"sessions", sum.sessions},         {"breaks", sum.breaks},
                {"routers_open", sum.routers_open}, {"routes", sum.routes},
                {"endpoints", sum.endpoints},       {"route_pages", sum.route_pages}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        printf("%s\"%s\": %llu", i ? ", " : "{", rows[i].name, (unsigned long long)rows[i].value);
    printf("}\n");
}

static bool tell_all(struct child *children, unsigned n, const char *line, size_t line_n) {
    char answer;
    for (unsigned i = 0; i < n; i++)
        if (write(children[i].commands, line, line_n) != (ssize_t)line_n)
            return false;
    for (unsigned i = 0; i < n; i++)
        if (read(children[i].answers, &answer, 1) != 1)
            return false;
    return true;
}

static int read_master(const char *path, struct settings *s, struct error *err) {
    _cleanup_(freep) char *line = NULL;
    int r = fs_read_secret(path, &line, err);
    if (r < 0)
        return r;
    char *space = strchr(line, ' ');
    s->gen = space ? (uint8_t)strtoul(line, NULL, 10) : 1;
    if (hex_decode(space ? space + 1 : line, s->master, sizeof s->master) < 0)
        return error_set(err, -EINVAL, "%s is no master key", path);
    return 0;
}

int main(int argc, char **argv) {
    struct settings s = {0};
    struct child children[PROCESSES_MAX] = {0};
    struct error err = {0};
    unsigned *const numbers[] = {&s.cells,      &s.zones,    &s.routers, &s.memory_mb,
                                 &s.containers, &s.start_ms, &s.stats_ms};
    if (argc != 4 + (int)ARRAY_SIZE(numbers))
        return 2;
    s.control_url = argv[1];
    s.logs_url = argv[2];
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        *numbers[i] = (unsigned)strtoul(argv[4 + i], NULL, 10);
    s.processes = (s.cells + CELLS_A_PROCESS - 1) / CELLS_A_PROCESS;
    if (s.zones == 0 || s.processes == 0 || s.processes > PROCESSES_MAX)
        return 2;
    if (read_master(argv[3], &s, &err) < 0) {
        fprintf(stderr, "cell_swarm: %s\n", err.msg);
        return 1;
    }
    daemon_set_limits();
    struct counts *counts = mmap(NULL, sizeof *counts * PROCESSES_MAX, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return 1;
    for (unsigned k = 0; k < s.processes; k++)
        if (start_child(&s, k, &counts[k], &children[k]) < 0)
            return 1;
    char line[512];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (str_eq(line, "stats\n"))
            print_stats(counts, s.processes);
        else if (tell_all(children, s.processes, line, strlen(line)))
            puts("ok");
        else
            break;
    }
    for (unsigned k = 0; k < s.processes; k++) {
        kill(children[k].pid, SIGKILL);
        waitpid(children[k].pid, NULL, 0);
    }
    return 0;
}
