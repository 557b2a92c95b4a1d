/* errors.c - one error {code, error_code, description} for a request, where v3 has a list. */
#include "controller/api/v2/v2.h"

/* What is wrong with a body has a code of its own for each resource. */
static const struct {
    const char *segment; /* of the path: /v2/SEGMENT/... */
    enum cc_error invalid;
} kinds[] = {
    {"apps", CC_APP_INVALID},
    {"routes", CC_ROUTE_INVALID},
    {"spaces", CC_SPACE_INVALID},
    {"organizations", CC_ORG_INVALID},
    {"domains", CC_DOMAIN_INVALID},
    {"shared_domains", CC_DOMAIN_INVALID},
    {"private_domains", CC_DOMAIN_INVALID},
    {"user_provided_service_instances", CC_SERVICE_INVALID},
    {"service_bindings", CC_BINDING_INVALID},
};

static const struct cc_error_info *invalid_of(const char *path) {
    const char *segment = str_starts(path, "/v2/") ? path + strlen("/v2/") : "";
    size_t n = strcspn(segment, "/");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (slice_eq((struct slice){segment, n}, slice_of(kinds[i].segment)))
            return cc_error_info(kinds[i].invalid);
    return cc_error_info(CC_MESSAGE_PARSE_ERROR);
}

json_t *v2_error_json(struct call *c) {
    const json_t *first = json_array_get(c->errors, 0);
    json_int_t code = json_integer_value(json_object_get(first, "code"));
    const char *detail = json_string_value(json_object_get(first, "detail"));
    detail = detail ? detail : "";
    if (code != cc_error_info(CC_UNPROCESSABLE)->code)
        return json_pack("{s:I,s:O,s:s}", "code", code, "error_code",
                         json_object_get(first, "title"), "description", detail);
    const struct cc_error_info *info = invalid_of(c->path);
    _cleanup_(freep) char *text = str_printf("%s: %s", info->detail, detail);
    c->status = info->status;
    return json_pack("{s:i,s:s,s:o}", "code", info->code, "error_code", info->title, "description",
                     json_text_or_null(text));
}
