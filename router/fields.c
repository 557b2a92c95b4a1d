#include "router/fields.h"

#include "common/base/mem.h"

static const char *const names[FIELD_COUNT] = {
    [FIELD_OTHER] = "",
    [FIELD_AUTHORIZATION] = "authorization",
    [FIELD_B3] = "b3",
    [FIELD_CONNECTION] = "connection",
    [FIELD_CONTENT_LENGTH] = "content-length",
    [FIELD_COOKIE] = "cookie",
    [FIELD_EXPECT] = "expect",
    [FIELD_HOST] = "host",
    [FIELD_HTTP2_SETTINGS] = "http2-settings",
    [FIELD_KEEP_ALIVE] = "keep-alive",
    [FIELD_PROXY_AUTHENTICATE] = "proxy-authenticate",
    [FIELD_PROXY_AUTHORIZATION] = "proxy-authorization",
    [FIELD_PROXY_CONNECTION] = "proxy-connection",
    [FIELD_REFERER] = "referer",
    [FIELD_SET_COOKIE] = "set-cookie",
    [FIELD_TE] = "te",
    [FIELD_TRAILER] = "trailer",
    [FIELD_TRANSFER_ENCODING] = "transfer-encoding",
    [FIELD_UPGRADE] = "upgrade",
    [FIELD_USER_AGENT] = "user-agent",
    [FIELD_X_B3] = "x-b3",
    [FIELD_X_B3_SPANID] = "x-b3-spanid",
    [FIELD_X_B3_TRACEID] = "x-b3-traceid",
    [FIELD_X_CF_APPLICATIONID] = "x-cf-applicationid",
    [FIELD_X_CF_APP_INSTANCE] = "x-cf-app-instance",
    [FIELD_X_CF_INSTANCEID] = "x-cf-instanceid",
    [FIELD_X_CF_INSTANCEINDEX] = "x-cf-instanceindex",
    [FIELD_X_CF_PROXY_SIGNATURE] = "x-cf-proxy-signature",
    [FIELD_X_FORWARDED_CLIENT_CERT] = "x-forwarded-client-cert",
    [FIELD_X_FORWARDED_FOR] = "x-forwarded-for",
    [FIELD_X_FORWARDED_PROTO] = "x-forwarded-proto",
    [FIELD_X_REQUEST_START] = "x-request-start",
    [FIELD_X_VCAP_REQUEST_ID] = "x-vcap-request-id",
};

#define NAME_MAX_KNOWN 23
#define SAME_LENGTH    6

/* The known names by their length: at most SAME_LENGTH share one. Made before main() runs, so that
 * threads only read it. */
static uint8_t by_length[NAME_MAX_KNOWN + 1][SAME_LENGTH];

__attribute__((constructor)) static void index_names(void) {
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
        uint8_t *row = by_length[strlen(names[id])];
        while (*row)
            row++;
        *row = (uint8_t)id;
    }
}

enum field_id field_find(struct slice name) {
    if (name.n > NAME_MAX_KNOWN)
        return FIELD_OTHER;
    const uint8_t *row = by_length[name.n];
    for (unsigned i = 0; i < SAME_LENGTH && row[i]; i++) {
        const char *known = names[row[i]];
        size_t at = 0;
        /* |0x20 folds more than letters, but no other token character onto a letter, digit, '-'
         * of these names: 'A'-'Z' to 'a'-'z', and the rest that would fold is no token. */
        while (at < name.n && (name.p[at] | 0x20) == known[at])
            at++;
        if (at == name.n)
            return (enum field_id)row[i];
    }
    return FIELD_OTHER;
}

bool slice_is(struct slice s, uint8_t classes) {
    for (size_t i = 0; i < s.n; i++)
        if (!char_is(s.p[i], classes))
            return false;
    return true;
}

bool list_next(struct slice *list, struct slice *ret_member) {
    while (list->n) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t n = comma ? (size_t)(comma - list->p) : list->n;
        struct slice member = slice_trim((struct slice){list->p, n});
        n += comma != NULL;
        list->p += n;
        list->n -= n;
        if (member.n) {
            *ret_member = member;
            return true;
        }
    }
    return false;
}

#define T CHAR_TOKEN
#define V CHAR_VALUE
#define U CHAR_TARGET
#define H CHAR_HOST
const uint8_t char_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | U | H,
    ['"'] = V | U,
    ['#'] = T | V,
    ['$'] = T | V | U | H,
    ['%'] = T | V | U | H,
    ['&'] = T | V | U | H,
    ['\''] = T | V | U | H,
    ['('] = V | U | H,
    [')'] = V | U | H,
    ['*'] = T | V | U | H,
    ['+'] = T | V | U | H,
    [','] = V | U | H,
    ['-'] = T | V | U | H,
    ['.'] = T | V | U | H,
    ['/'] = V | U,
    ['0' ... '9'] = T | V | U | H,
    [':'] = V | U,
    [';'] = V | U | H,
    ['<'] = V | U,
    ['='] = V | U | H,
    ['>'] = V | U,
    ['?'] = V | U,
    ['@'] = V | U,
    ['A' ... 'Z'] = T | V | U | H,
    ['['] = V | U,
    ['\\'] = V | U,
    [']'] = V | U,
    ['^'] = T | V | U,
    ['_'] = T | V | U | H,
    ['`'] = T | V | U,
    ['a' ... 'z'] = T | V | U | H,
    ['{'] = V | U,
    ['|'] = T | V | U,
    ['}'] = V | U,
    ['~'] = T | V | U | H,
    [0x80 ... 0xff] = V,
};
