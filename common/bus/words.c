#include "common/bus/words.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/bus/times.h"

static const struct word words[] = {
    {WORD_HELLO, WORD_HELLO_ACK, SEAL_TO_HUB, true, &berth__hello__descriptor, BUS_SMALL_BYTES},
    {WORD_HELLO_ACK, 0, SEAL_TO_NODE, true, &berth__hello_ack__descriptor, BUS_SMALL_BYTES},
    {WORD_DONE, WORD_DONE_ACK, SEAL_TO_HUB, false, NULL, 0},
    {WORD_DONE_ACK, 0, SEAL_TO_NODE, false, NULL, 0},
    {WORD_WATCH, WORD_WATCH_REPLY, SEAL_TO_HUB, false, &berth__watch__descriptor, BUS_SMALL_BYTES},
    {WORD_WATCH_REPLY, 0, SEAL_TO_NODE, false, &berth__watch_reply__descriptor, BUS_CONTROL_BYTES},
    {WORD_REPORT, WORD_REPORT_ACK, SEAL_TO_HUB, false, &berth__report__descriptor,
     BUS_CONTROL_BYTES},
    {WORD_REPORT_ACK, 0, SEAL_TO_NODE, false, &berth__report_ack__descriptor, BUS_CONTROL_BYTES},
    {WORD_LOGS, WORD_LOGS_ACK, SEAL_TO_HUB, false, &berth__logs__descriptor, BUS_LOGS_BYTES},
    {WORD_LOGS_ACK, 0, SEAL_TO_NODE, false, &berth__logs_ack__descriptor, BUS_SMALL_BYTES},
};

const struct word *word_of_type(uint8_t type) {
    static_assert(ARRAY_SIZE(words) == WORD_LOGS_ACK, "a row a word, in the enum's order");
    return type >= 1 && type <= ARRAY_SIZE(words) ? &words[type - 1] : NULL;
}

const struct word *word_of_message(const ProtobufCMessage *msg) {
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (words[i].descriptor == msg->descriptor)
            return &words[i];
    return NULL;
}

const struct word *word_of_conversation(Berth__Conversation conversation) {
    static const uint8_t request[] = {
        [BERTH__CONVERSATION__CONVERSATION_WATCH] = WORD_WATCH,
        [BERTH__CONVERSATION__CONVERSATION_REPORT] = WORD_REPORT,
        [BERTH__CONVERSATION__CONVERSATION_LOGS] = WORD_LOGS,
    };
    return (unsigned)conversation < ARRAY_SIZE(request) ? word_of_type(request[conversation])
                                                        : NULL;
}

bool word_kind_may(Berth__NodeKind kind, Berth__Conversation conversation) {
    static const unsigned may[] = {
        [BERTH__NODE_KIND__NODE_CELL] = BIT(BERTH__CONVERSATION__CONVERSATION_WATCH) |
                                        BIT(BERTH__CONVERSATION__CONVERSATION_REPORT) |
                                        BIT(BERTH__CONVERSATION__CONVERSATION_LOGS),
        [BERTH__NODE_KIND__NODE_ROUTER] = BIT(BERTH__CONVERSATION__CONVERSATION_WATCH) |
                                          BIT(BERTH__CONVERSATION__CONVERSATION_LOGS),
    };
    return (unsigned)kind < ARRAY_SIZE(may) && word_of_conversation(conversation) &&
           may[kind] & BIT(conversation);
}

/* --- unpacking: one block, bumped; every piece knows its size --- */

struct piece { /* lies before each allocation */
    uint64_t size;
};

struct arena {
    uint8_t *block;
    size_t used, cap;
};

static void *arena_alloc(void *data, size_t size) {
    struct arena *a = data;
    size_t left = a->cap - a->used;
    if (size > left || left - size < sizeof(struct piece) + 7)
        return NULL;
    struct piece *piece = (struct piece *)(void *)(a->block + a->used);
    piece->size = size;
    a->used += sizeof *piece + (size + 7) / 8 * 8;
    return piece + 1;
}

/* Freed as a whole. */
static void arena_free(void *data, void *p) {
    (void)data, (void)p;
}

/* The unpacker keeps a text's bytes and puts a NUL behind them, but tells no length; the piece
 * does. An absent text is a constant that lies elsewhere. */
static bool text_is_good(const struct arena *a, const char *s) {
    const uint8_t *p = (const uint8_t *)s;
    if (!s || p < a->block || p >= a->block + a->used)
        return true;
    const struct piece *piece = (const struct piece *)(const void *)p - 1;
    return piece->size > 0 && str_is_utf8(s, piece->size - 1);
}

static bool message_is_good(const struct arena *a, const ProtobufCMessage *msg);

static bool value_is_good(const struct arena *a, const ProtobufCFieldDescriptor *field,
                          const void *at) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return text_is_good(a, *(const char *const *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at) != NULL;
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *sub = *(const ProtobufCMessage *const *)at;
        return !sub || message_is_good(a, sub);
    }
    default:
        return true;
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    default:
        return 0; /* nothing to check, so never asked for */
    }
}

/* As deep as the schema, which has no recursive types. */
static bool message_is_good(const struct arena *a, const ProtobufCMessage *msg) {
    const ProtobufCMessageDescriptor *d = msg->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &d->fields[i];
        const uint8_t *at = (const uint8_t *)msg + field->offset;
        size_t size = value_size(field), count = 1;
        if (size == 0)
            continue;
        assert(!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)); /* the schema has none */
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count =
                *(const size_t *)(const void *)((const uint8_t *)msg + field->quantifier_offset);
            at = *(const uint8_t *const *)(const void *)at;
        }
        for (size_t k = 0; k < count; k++)
            if (!value_is_good(a, field, at + k * size))
                return false;
    }
    return true;
}

int word_unpack(const struct word *word, const uint8_t *p, size_t n, struct unpacked *ret) {
    if (n > word->max_bytes)
        return -EBADMSG;
    if (!word->descriptor) {
        *ret = (struct unpacked){0};
        return 0;
    }
    struct arena arena = {.cap = MIN((size_t)BUS_ARENA_BASE_BYTES + BUS_ARENA_FACTOR * n,
                                     (size_t)BUS_ARENA_MAX_BYTES)};
    _cleanup_(freep) uint8_t *block = arena.block = malloc(arena.cap);
    if (!block)
        return -ENOMEM;
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
    ProtobufCMessage *msg = protobuf_c_message_unpack(word->descriptor, &allocator, n, p);
    if (!msg || !message_is_good(&arena, msg))
        return -EBADMSG;
    *ret = (struct unpacked){.msg = msg, .memory = TAKE_PTR(block)};
    return 0;
}

void unpacked_fini(struct unpacked *u) {
    free(u->memory);
    *u = (struct unpacked){0};
}
