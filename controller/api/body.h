/* body.h - strict reading of JSON bodies: a table says which fields may stand there and as what;
 * everything else is a 422 with Cloud Controller's words. */
#ifndef CONTROLLER_API_BODY_H
#define CONTROLLER_API_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct call;

#define BODY_DEPTH_MAX 32 /* levels of nesting */

enum field_kind { FIELD_TEXT, FIELD_INT, FIELD_BOOL, FIELD_OBJECT, FIELD_LIST, FIELD_ANY };

struct field {
    const char *name;
    enum field_kind kind;
    bool required, nullable;
    int64_t min, max; /* of an INT, or characters of a TEXT, or members of a LIST; max 0: no bound
                         but for TEXT 255 */
    const struct field *fields; /* of an OBJECT, or of a LIST's objects; NULL: anything */
    size_t field_count;
};

/* An object with these fields. */
#define FIELD_OF(name_, required_, fields_)                                                        \
    {                                                                                              \
        .name = (name_), .kind = FIELD_OBJECT, .required = (required_), .fields = (fields_),       \
        .field_count = sizeof(fields_) / sizeof((fields_)[0])                                      \
    }

/* Parses the body into c->json: UTF-8, an object, no duplicate keys, no NUL, not too deep. */
int body_parse(struct call *c, bool optional);
/* Checks an object; adds an error for each thing wrong and returns -1. */
int body_check(struct call *c, const json_t *object, const struct field *fields, size_t count);
#define body_check_all(c, fields) body_check((c), (c)->json, fields, ARRAY_SIZE(fields))

/* "a.b.c": the member, or NULL when there is none on the way. Null is JSON's null. */
json_t *body_at(const json_t *object, const char *path);
/* NULL when it is missing or no text. */
const char *body_text(const json_t *object, const char *path);
/* False when it is missing or no number. */
bool body_int(const json_t *object, const char *path, int64_t *ret);
bool body_bool(const json_t *object, const char *path, bool *ret);
/* A present member that is null. */
bool body_null(const json_t *object, const char *path);

/* `metadata` of a body merged into the stored labels and annotations: null deletes. */
int metadata_merge(struct call *c, const json_t *body, char **labels, char **annotations);
extern const struct field metadata_fields[2];
#define FIELD_METADATA                                                                             \
    { .name = "metadata", .kind = FIELD_OBJECT, .fields = metadata_fields, .field_count = 2 }

/* Memory, disk and log rate of what runs, each of which may be left to its default. `config` is the
 * api_config. */
#define FIELDS_OF_SIZE(config)                                                                     \
    {.name = "memory_in_mb",                                                                       \
     .kind = FIELD_INT,                                                                            \
     .nullable = true,                                                                             \
     .min = 1,                                                                                     \
     .max = (int64_t)(config)->max_memory_mb},                                                     \
        {.name = "disk_in_mb",                                                                     \
         .kind = FIELD_INT,                                                                        \
         .nullable = true,                                                                         \
         .min = 1,                                                                                 \
         .max = (int64_t)(config)->max_disk_mb},                                                   \
    {                                                                                              \
        .name = "log_rate_limit_in_bytes_per_second", .kind = FIELD_INT, .nullable = true,         \
        .min = -1, .max = INT32_MAX                                                                \
    }

/* {"data":{"guid":"..."}} */
extern const struct field relation_fields[1];
#define FIELD_RELATION(name_, required_)                                                           \
    {                                                                                              \
        .name = (name_), .kind = FIELD_OBJECT, .required = (required_), .fields = relation_fields, \
        .field_count = 1                                                                           \
    }

#endif
