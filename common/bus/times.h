/* times.h - every time, size and rate of the bus, in one place. Owners of a conversation use the
 * first group; the rest is the bus's own. The sources are measurements of nanomsg 1.1.5. */
#ifndef COMMON_BUS_TIMES_H
#define COMMON_BUS_TIMES_H

/* --- what owners live by --- */

#define BUS_WATCH_WAIT_MS     5000  /* how long the controller holds a Watch with nothing to say */
#define BUS_REPLY_SLACK_MS    3000  /* a reply is overdue that long after the wait is over */
#define BUS_PRESENCE_MS       15000 /* silent that long: suspect (three missed Watches) */
#define BUS_WATCH_PAGE_BYTES  (256 * 1024) /* what a page of a WatchReply aims at */
#define BUS_REPORT_TIMEOUT_MS 5000         /* for an answer that is never held */

/* --- how much one message may be: packed protobuf, both ends refuse more --- */

#define BUS_SMALL_BYTES 4096 /* Hello, HelloAck, Watch, LogsAck */
#define BUS_CONTROL_BYTES                                                                          \
    (1024 * 1024) /* WatchReply, Report and its ack: four pages, one huge LRP */
#define BUS_LOGS_BYTES       (256 * 1024) /* Logs: four of the longest lines */
#define BUS_PACKET_SLACK     512          /* envelope and nanomsg's header beside the message */
#define BUS_ARENA_MAX_BYTES  (16 * 1024 * 1024) /* memory that one unpacked message may take */
#define BUS_ARENA_BASE_BYTES (64 * 1024)
#define BUS_ARENA_FACTOR     32 /* times the packed size; empty sub-messages measured 29 */

/* --- opening a conversation (node) --- */

#define BUS_OPEN_TIMEOUT_MS      3000 /* connect, Hello and HelloAck, Done and its ack together */
#define BUS_REOPEN_MIN_MS        100  /* back-off doubles from here ... */
#define BUS_REOPEN_MAX_MS        2000 /* ... to here, each wait drawn from [half, whole] */
#define BUS_LINK_CHECK_MS        500  /* nanomsg tells of no broken link: its statistics are read */
#define BUS_CONNECT_RETRY_MS     500  /* nanomsg's own retry within an attempt; never grows */
#define BUS_SESSION_MAX_MS       (24ull * 3600 * 1000) /* fresh keys at least once a day */
#define BUS_SESSION_MAX_MESSAGES (1ull << 32)          /* ... or after that many, either way */

/* --- the hub's fence --- */

#define BUS_PENDING_MAX       4     /* unproved handshakes a conversation of a node */
#define BUS_PENDING_MS        15000 /* an unproved one is forgotten after that */
#define BUS_HELLO_BURST       32    /* Hellos that a node may send at once ... */
#define BUS_HELLO_PER_S       8     /* ... and lastingly; a cell opens three conversations */
#define BUS_HELLO_TOTAL_BURST 8000  /* of all nodes: 1000 cells and routers coming back at once */
#define BUS_HELLO_TOTAL_PER_S 2000  /* each costs 0.1 ms (bus_bench): 20 % of a core */
#define BUS_REPLIES_A_TURN    100   /* 10-20 us of system calls each; the rest waits a loop turn */
#define BUS_PACKETS_A_WAKE    128   /* received before timers and signals get their turn */
#define BUS_WAKE_MS           2 /* ... and for no longer: a report may be of a thousand instances */
#define BUS_TEND_MS           60000 /* forgets unproved handshakes, looks for zombies */
#define BUS_ZOMBIE_SURPLUS    1000  /* connections without a session: the listener is re-bound */
#define BUS_BIND_RETRY_MS     200   /* after EADDRINUSE */
#define BUS_BIND_TRIES        10    /* at start, before it is an error */
#define BUS_SOCKET_BUFFER     (256 * 1024) /* SNDBUF and RCVBUF */

#endif
