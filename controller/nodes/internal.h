/* internal.h - a node as its conversations see it. For the files of this folder only. */
#ifndef CONTROLLER_NODES_INTERNAL_H
#define CONTROLLER_NODES_INTERNAL_H

#include <stdbool.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION     HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "common/bus/token.h"
#include "controller/nodes/nodes.h"

#define ANSWERS_A_TURN 100           /* see common/bus/times.h: 10-20 us of system calls each */
#define FULL_EVERY_MS  (600u * 1000) /* a cell is asked for its whole truth that often */
#define SAVE_EVERY_MS  1000u         /* nodes that are known are written in batches */
#define FIRST_SAVE_MS                                                                              \
    10u /* a node that is new to this run: at once, those of a moment together                     \
         */
#define SAVES_A_TIME    100
#define SEEN_AGAIN_NS   3600000000000u /* a known node's row is renewed that often */
#define CREDIT_BYTES    (192u * 1024)  /* of a batch of log lines: below BUS_LOGS_BYTES */
#define LOG_LINE_MAX    61440          /* model.proto */
#define FOREIGN_TELL_MS 60000u         /* on_foreign_lines: once a minute */
#define CLOCK_AHEAD_NS  60000000000u   /* a cell's clock may be that much ahead of ours */
#define NAME_MAX_BYTES  64

struct node {
    struct nodes *nodes;
    struct hub_peer *peer; /* borrowed from the hub */
    char name[NAME_MAX_BYTES + 1], zone[NAME_MAX_BYTES + 1], address[NAME_MAX_BYTES + 1];
    char version[NAME_MAX_BYTES + 1];
    struct node *prev, *next; /* nodes.all */
    bool present;             /* a cell that the brain knows of in this run */

    /* watch.c */
    struct hub_request *watch; /* held; NULL: none */
    uint64_t since;            /* the version that it has; 0: none of this run */
    uint64_t deadline_ms;
    struct node *wait_prev, *wait_next; /* nodes.waiting, by deadline */
    bool changed;                       /* in nodes.changed */
    struct node *changed_next;

    /* heard.c */
    bool in_full;
    uint64_t full_ms;

    /* layers.c */
    bool in_holdings;
    struct giver { /* where other cells fetch blobs from this one */
        char address[NAME_MAX_BYTES + 1];
        uint16_t port; /* 0: nowhere */
        uint8_t key[BUS_KEY_SIZE], nonce[TOKEN_NONCE_SIZE];
        uint64_t ahead_ms; /* of its clock to ours */
    } giver;

    /* lines.c */
    uint64_t next_line;   /* number in this session */
    bool resumed;         /* no batch came in this session yet */
    uint64_t *last_lines; /* owned: hashes of the batch before, whose ack may be lost */
    size_t last_line_count;
    uint64_t foreign, foreign_told_ms; /* lines refused since then; 0: never told */

    bool unsaved;
    uint64_t saved_ns;
};

struct revoked {
    uint8_t id[BUS_ID_SIZE];
    UT_hash_handle hh;
};

struct nodes {
    struct nodes_deps deps;
    struct hub *hub;
    uint8_t epoch[BUS_EPOCH_SIZE];
    struct node *all, *waiting;
    struct node *changed, **changed_tail;
    struct event *answer_timer; /* answers what changed, at once */
    struct event *wait_timer;   /* the first deadline */
    struct event *save_timer;
    bool unsaved;
    struct revoked *revoked;
    uint64_t lines, lines_lost, lines_refused, lines_foreign, instances_refused, places_told;
};

/* --- watch.c */
void watch_request(struct node *node, struct hub_request *req, const Berth__Watch *msg);
void watch_dropped(struct node *node);
void watch_changed(struct node *node);
void on_answer_timer(int fd, short what, void *arg);
void on_wait_timer(int fd, short what, void *arg);

/* --- heard.c */
void heard_report(struct node *node, struct hub_request *req, const Berth__Report *msg);

/* --- layers.c */
int layers_heard(struct node *node, const Berth__Holdings *h);
/* The answers to what a report asks; they live in *a. */
struct layers_answer {
    struct told_places *places; /* owned, as is all of it */
    Berth__Places **list;
    Berth__Keep keep;
    uint8_t *keep_blobs, *keep_repositories;
    uint64_t *keep_sizes;
};
void layers_answer(struct node *node, const Berth__Report *msg, Berth__ReportAck *ack,
                   struct layers_answer *a);
void layers_answer_fini(struct layers_answer *a); /* guard for _cleanup_ */

/* --- lines.c */
void lines_session(struct node *node);
void lines_request(struct node *node, struct hub_request *req, const Berth__Logs *msg);

/* --- known.c */
void known_seen(struct node *node);
void on_save_timer(int fd, short what, void *arg);
int known_load(struct nodes *n, struct error *err); /* tells the brain which cells to expect */
bool known_is_revoked(const struct nodes *n, const uint8_t id[BUS_ID_SIZE]);
void known_free(struct nodes *n);

#endif
