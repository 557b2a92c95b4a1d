/* fields.h - header fields that the router knows by name, and the character classes of HTTP. */
#ifndef ROUTER_FIELDS_H
#define ROUTER_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/str.h"

enum field_id {
    FIELD_OTHER,
    FIELD_AUTHORIZATION,
    FIELD_B3,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_COOKIE,
    FIELD_EXPECT,
    FIELD_HOST,
    FIELD_HTTP2_SETTINGS,
    FIELD_KEEP_ALIVE,
    FIELD_PROXY_AUTHENTICATE,
    FIELD_PROXY_AUTHORIZATION,
    FIELD_PROXY_CONNECTION,
    FIELD_REFERER,
    FIELD_SET_COOKIE,
    FIELD_TE,
    FIELD_TRAILER,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE,
    FIELD_USER_AGENT,
    FIELD_X_B3,
    FIELD_X_B3_SPANID,
    FIELD_X_B3_TRACEID,
    FIELD_X_CF_APPLICATIONID,
    FIELD_X_CF_APP_INSTANCE,
    FIELD_X_CF_INSTANCEID,
    FIELD_X_CF_INSTANCEINDEX,
    FIELD_X_CF_PROXY_SIGNATURE,
    FIELD_X_FORWARDED_CLIENT_CERT,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_PROTO,
    FIELD_X_REQUEST_START,
    FIELD_X_VCAP_REQUEST_ID,
    FIELD_COUNT
};

#define FIELD_BIT(id) (UINT64_C(1) << (id))

enum field_id field_find(struct slice name);

/* Classes of a byte (RFC 9110 section 5.6.2, RFC 3986). */
#define CHAR_TOKEN  0x01 /* of a field name or method */
#define CHAR_VALUE  0x02 /* of a field value: visible, blank, tab, 0x80-0xff */
#define CHAR_TARGET 0x04 /* of a request target: visible ASCII but '#' */
#define CHAR_HOST   0x08 /* of a reg-name: unreserved, sub-delims, '%' */
extern const uint8_t char_class[256];

static inline bool char_is(char c, uint8_t classes) {
    return char_class[(unsigned char)c] & classes;
}
bool slice_is(struct slice s, uint8_t classes); /* every byte; true when empty */

/* Next member of a comma list, trimmed, empty ones skipped; false at the end. */
bool list_next(struct slice *list, struct slice *ret_member);

#endif
