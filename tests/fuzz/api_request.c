/* One request of an admin: "METHOD URL\n" and the body. $s, $o, $a, $r stand for the guids of a
 * space, an org, an app and a route that exist. Every answer is a status, errors in the envelope.
 */
#include "tests/unit/api/harness.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char app_guid[GUID_SIZE], route_guid[GUID_SIZE];

static void make_app(void) {
    static const char yaml[] =
        "applications: [{name: a, docker: {image: i}, default-route: true, env: {A: b}}]";
    char url[200];
    snprintf(url, sizeof url, "/v3/spaces/%s/actions/apply_manifest", space_guid);
    struct answer a = ask_full(
        &(struct question){.method = "POST", .url = url, .authorization = token, .body = yaml});
    answer_fini(&a);
    a = ask("GET", "/v3/apps?names=a", NULL);
    snprintf(app_guid, GUID_SIZE, "%s",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
    a = ask("GET", "/v3/routes?hosts=a", NULL);
    snprintf(route_guid, GUID_SIZE, "%s",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
}

static char *expand(const char *p, size_t n, size_t *ret_n) {
    const struct {
        char letter;
        const char *guid;
    } names[] = {{'s', space_guid}, {'o', org_guid}, {'a', app_guid}, {'r', route_guid}};
    struct strbuf out = {0};
    strbuf_puts(&out, "");
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(names) && !(p[i] == '$' && i + 1 < n && p[i + 1] == names[k].letter))
            k++;
        if (k == ARRAY_SIZE(names)) {
            strbuf_add(&out, &p[i], 1);
        } else {
            strbuf_puts(&out, names[k].guid);
            i++;
        }
    }
    *ret_n = out.n;
    return out.p ? strbuf_take(&out) : str_dup("");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool up;
    if (!up) {
        up = true;
        harness_up(true);
        atexit(harness_down);
    }
    impatient = true;
    make_app(); /* an earlier input may have deleted it */
    size_t n = 0;
    char *text = expand((const char *)data, size, &n), *line_end = memchr(text, '\n', n);
    char *space = memchr(text, ' ', line_end ? (size_t)(line_end - text) : 0);
    if (space) {
        *space = *line_end = '\0';
        const char *body = line_end + 1;
        struct answer a = ask_full(&(struct question){.method = text,
                                                      .url = space + 1,
                                                      .authorization = token,
                                                      .type = "application/json",
                                                      .body = body,
                                                      .body_n = n - (size_t)(body - text)});
        assert(a.status >= 200 && a.status < 500);
        assert(a.status < 400 || strstr(space + 1, "oauth") || code_of(&a) > 0);
        answer_fini(&a);
    }
    free(text);
    return 0;
}
