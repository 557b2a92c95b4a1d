/* packet_delay - holds packets back, where the kernel has no netem.
 *
 *   packet_delay QUEUE MIN_MS MAX_MS OVERTAKE_PERCENT SEED SECONDS
 *
 * Takes what a rule of its network namespace gives to the netfilter queue QUEUE and lets each
 * packet go MIN_MS to MAX_MS later, drawn from SEED. Packets stay in order, but for
 * OVERTAKE_PERCENT of them, which may overtake. Prints "ready" when packets are held. At SIGTERM,
 * or after SECONDS, it lets everything go and ends; the rule must let packets pass when nobody
 * reads its queue (--queue-bypass). */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <utlist.h>

#define HELD_MAX    16384u    /* more pass at once */
#define BUFFER_SIZE (1 << 16) /* of messages without payload: some hundred packets */

struct held {
    struct held *prev, *next;
    uint64_t due_ms;
    uint32_t id;
};

struct delay {
    uint64_t min_ms, max_ms, overtake, random;
    struct nfq_q_handle *queue;
    struct held *held; /* by due_ms */
    unsigned count;
    uint64_t last_due_ms; /* of those that keep their order */
};

static volatile sig_atomic_t ending;

static void on_term(int signal) {
    (void)signal;
    ending = 1;
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* splitmix64: good enough, and the same everywhere. */
static uint64_t draw(struct delay *d) {
    uint64_t x = d->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t due_of(struct delay *d) {
    uint64_t due = now_ms() + d->min_ms + draw(d) % (d->max_ms - d->min_ms + 1);
    if (draw(d) % 100 < d->overtake)
        return due;
    if (due < d->last_due_ms)
        due = d->last_due_ms;
    return d->last_due_ms = due;
}

/* Most come in order, so the place is looked for from the end. */
static void hold(struct delay *d, struct held *h) {
    struct held *before = d->held ? d->held->prev : NULL;
    while (before && before->due_ms > h->due_ms)
        before = before == d->held ? NULL : before->prev;
    if (before)
        DL_APPEND_ELEM(d->held, before, h);
    else
        DL_PREPEND(d->held, h);
    d->count++;
}

static int on_packet(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
                     void *arg) {
    (void)message;
    struct delay *d = arg;
    struct nfqnl_msg_packet_hdr *head = nfq_get_msg_packet_hdr(data);
    if (!head)
        return 0;
    struct held *h = d->count < HELD_MAX ? calloc(1, sizeof *h) : NULL;
    if (!h)
        return nfq_set_verdict(queue, ntohl(head->packet_id), NF_ACCEPT, 0, NULL);
    h->id = ntohl(head->packet_id);
    h->due_ms = due_of(d);
    hold(d, h);
    return 0;
}

static void let_go(struct delay *d, uint64_t until_ms) {
    while (d->held && d->held->due_ms <= until_ms) {
        struct held *h = d->held;
        DL_DELETE(d->held, h);
        d->count--;
        nfq_set_verdict(d->queue, h->id, NF_ACCEPT, 0, NULL);
        free(h);
    }
}

static int wait_ms(const struct delay *d, uint64_t end_ms) {
    uint64_t now = now_ms(), next = d->held && d->held->due_ms < end_ms ? d->held->due_ms : end_ms;
    return next > now ? (int)(next - now) : 0;
}

static int run(struct nfq_handle *handle, struct delay *d, uint64_t end_ms) {
    static char buffer[BUFFER_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct pollfd fd = {.fd = nfq_fd(handle), .events = POLLIN};
    while (!ending && now_ms() < end_ms) {
        if (poll(&fd, 1, wait_ms(d, end_ms)) < 0 && errno != EINTR)
            return -errno;
        let_go(d, now_ms());
        if (!(fd.revents & POLLIN))
            continue;
        ssize_t n = recv(fd.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n > 0)
            nfq_handle_packet(handle, buffer, (int)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
            return -errno;
    }
    let_go(d, UINT64_MAX);
    return 0;
}

static bool number(const char *text, uint64_t most, uint64_t *ret) {
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return !errno && end != text && !*end && *text != '-' && *ret <= most;
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

int main(int argc, char **argv) {
    struct delay d = {0};
    uint64_t number_of_queue, seconds;
    if (argc != 7 || !number(argv[1], UINT16_MAX, &number_of_queue) ||
        !number(argv[2], 60000, &d.min_ms) || !number(argv[3], 60000, &d.max_ms) ||
        d.min_ms > d.max_ms || !number(argv[4], 100, &d.overtake) ||
        !number(argv[5], UINT64_MAX, &d.random) || !number(argv[6], 3600, &seconds)) {
        fprintf(stderr, "usage: packet_delay QUEUE MIN_MS MAX_MS OVERTAKE_PERCENT SEED SECONDS\n");
        return 2;
    }
    uint64_t end_ms = now_ms() + seconds * 1000;
    struct sigaction action = {.sa_handler = on_term};
    int on = 1;
    sigaction(SIGTERM, &action, NULL);
    struct nfq_handle *handle = nfq_open();
    if (!handle || !(d.queue = nfq_create_queue(handle, (uint16_t)number_of_queue, on_packet, &d)))
        return fail("packet_delay: no queue");
    /* Large segments whole, and no payload: it is of no interest here. What does not fit passes. */
    if (nfq_set_mode(d.queue, NFQNL_COPY_META, 0) < 0 ||
        nfq_set_queue_maxlen(d.queue, HELD_MAX) < 0 ||
        nfq_set_queue_flags(d.queue, NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN,
                            NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN) < 0)
        return fail("packet_delay: the queue cannot be set up");
    setsockopt(nfq_fd(handle), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
    puts("ready");
    fflush(stdout);
    int r = run(handle, &d, end_ms);
    nfq_destroy_queue(d.queue);
    nfq_close(handle);
    errno = -r;
    return r < 0 ? fail("packet_delay") : 0;
}
