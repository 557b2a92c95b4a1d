/* image_config.c - the image's own config (OCI image specification, config.md; Docker's v1.2). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/registry/digest.h"
#include "common/registry/document.h"
#include "common/registry/printable.h"

#define MAX_PORT 65535

static int malformed(struct error *err, const char *what) {
    return error_set(err, -EBADMSG, "the image's config is malformed: %s", what);
}

static void free_list(char **list) {
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void registry_image_free(struct registry_image *image) {
    if (!image)
        return;
    free(image->layers);
    free_list(image->entrypoint);
    free_list(image->cmd);
    free_list(image->env);
    free(image->user);
    free(image->workdir);
    free(image->stop_signal);
    free(image->ports);
    free(image->config_json);
    free(image);
}

/* --- members ------------------------------------------------------------------------------ */

static int read_text(const json_t *config, const char *key, char **ret, struct error *err) {
    const json_t *value = json_object_get(config, key);
    char what[64];
    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    snprintf(what, sizeof what, "%s is not a text", key);
    if (!json_is_string(value))
        return malformed(err, what);
    *ret = str_dup(json_string_value(value));
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* A list of texts; absent or null is an empty one. Old builders wrote a single text as such. */
static int read_list(const json_t *config, const char *key, char ***ret, struct error *err) {
    const json_t *value = json_object_get(config, key);
    size_t n = json_is_string(value) ? 1 : json_array_size(value);
    char what[64];
    snprintf(what, sizeof what, "%s is not a list of texts", key);
    if (value && !json_is_null(value) && !json_is_string(value) && !json_is_array(value))
        return malformed(err, what);
    if (n > DOCUMENT_MAX_LISTS)
        return error_set(err, -EFBIG, "the image's %s has more than %d entries", key,
                         DOCUMENT_MAX_LISTS);
    char **list = *ret = mem_calloc(n + 1, sizeof *list); /* the image owns it from here */
    if (!list)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_string(value) ? value : json_array_get(value, i);
        if (!json_is_string(item))
            return malformed(err, what);
        if (!(list[i] = str_dup(json_string_value(item))))
            return error_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

/* An entry without a name or "=" sets nothing: no runtime passes it on. */
static void drop_odd_env(char **env) {
    char **to = env;
    for (; *env; env++) {
        if (strchr(*env, '=') && **env != '=')
            *to++ = *env;
        else
            free(*env);
    }
    *to = NULL;
}

static int read_diff_ids(const json_t *root, struct registry_image *image, struct error *err) {
    const json_t *ids = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
    if (!json_is_array(ids))
        return malformed(err, "rootfs.diff_ids is missing");
    if (json_array_size(ids) != image->layer_count)
        return error_set(err, -EBADMSG, "the image's config names %zu layers, its manifest %zu",
                         json_array_size(ids), image->layer_count);
    for (size_t i = 0; i < image->layer_count; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!digest_is_valid(id))
            return malformed(err, "a diff id is not a sha256 digest");
        snprintf(image->layers[i].diff_id, sizeof image->layers[i].diff_id, "%s", id);
    }
    return 0;
}

static int check_platform(const json_t *root, const struct platform *platform, struct error *err) {
    const char *os = json_string_value(json_object_get(root, "os"));
    const char *architecture = json_string_value(json_object_get(root, "architecture"));
    if ((str_empty(os) || str_eq(os, "linux")) &&
        (str_empty(architecture) || str_eq(architecture, platform->architecture)))
        return 0;
    char clean[2][32];
    return error_set(err, -ENOTSUP, "the image is for %s/%s; needed is linux/%s",
                     printable(os, clean[0], sizeof clean[0]),
                     printable(architecture, clean[1], sizeof clean[1]), platform->architecture);
}

/* --- ports -------------------------------------------------------------------------------- */

int port_parse(const char *text, unsigned *ret_first, unsigned *ret_last, bool *ret_udp) {
    struct slice number = {text, strcspn(text, "/")};
    const char *protocol = text[number.n] ? text + number.n + 1 : "";
    const char *dash = memchr(number.p, '-', number.n);
    struct slice from = {number.p, dash ? (size_t)(dash - number.p) : number.n};
    struct slice to = from;
    uint64_t first, last;
    if (dash)
        to = (struct slice){dash + 1, number.n - from.n - 1};
    if (*protocol && !str_eq(protocol, "tcp") && !str_eq(protocol, "udp") &&
        !str_eq(protocol, "sctp"))
        return -EINVAL;
    if (parse_u64_slice(from, 1, MAX_PORT, &first) < 0 ||
        parse_u64_slice(to, 1, MAX_PORT, &last) < 0 || last < first)
        return -EINVAL;
    *ret_first = (unsigned)first;
    *ret_last = (unsigned)last;
    *ret_udp = *protocol && !str_eq(protocol, "tcp");
    return 0;
}

/* One byte a port and protocol: overlapping ranges then cost neither space nor sorting. */
struct port_set {
    unsigned char open[2][MAX_PORT + 1]; /* [udp] */
};

static int list_ports(const struct port_set *set, struct registry_image *image, struct error *err) {
    size_t n = 0;
    for (unsigned i = 1; i <= MAX_PORT; i++)
        n += (size_t)set->open[0][i] + set->open[1][i];
    if (n == 0)
        return 0;
    if (!(image->ports = mem_calloc(n, sizeof *image->ports)))
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 1; i <= MAX_PORT; i++)
        for (int udp = 0; udp < 2; udp++)
            if (set->open[udp][i])
                image->ports[image->port_count++] =
                    (struct registry_port){.number = (uint16_t)i, .udp = udp};
    return 0;
}

static int read_ports(const json_t *config, struct registry_image *image, struct error *err) {
    const json_t *ports = json_object_get(config, "ExposedPorts");
    const char *key;
    json_t *value;
    if (!ports || json_is_null(ports))
        return 0;
    if (!json_is_object(ports))
        return malformed(err, "ExposedPorts is not an object");
    if (json_object_size(ports) > DOCUMENT_MAX_LISTS)
        return error_set(err, -EFBIG, "the image exposes more than %d ports", DOCUMENT_MAX_LISTS);
    _cleanup_(freep) struct port_set *set = mem_zalloc(sizeof *set);
    if (!set)
        return error_set(err, -ENOMEM, "out of memory");
    json_object_foreach((json_t *)ports, key, value) {
        unsigned first, last;
        bool udp;
        char clean[48];
        if (port_parse(key, &first, &last, &udp) < 0)
            return error_set(err, -EBADMSG,
                             "the image exposes \"%s\", which is not a port such as 8080/tcp",
                             printable(key, clean, sizeof clean));
        memset(&set->open[udp][first], 1, last - first + 1);
    }
    return list_ports(set, image, err);
}

/* --- the whole ---------------------------------------------------------------------------- */

static int read_config(const json_t *root, const struct platform *platform,
                       struct registry_image *image, struct error *err) {
    const json_t *config = json_object_get(root, "config");
    int r;
    if ((r = check_platform(root, platform, err)) < 0 ||
        (r = read_diff_ids(root, image, err)) < 0 ||
        (r = read_list(config, "Entrypoint", &image->entrypoint, err)) < 0 ||
        (r = read_list(config, "Cmd", &image->cmd, err)) < 0 ||
        (r = read_list(config, "Env", &image->env, err)) < 0 ||
        (r = read_text(config, "User", &image->user, err)) < 0 ||
        (r = read_text(config, "WorkingDir", &image->workdir, err)) < 0 ||
        (r = read_text(config, "StopSignal", &image->stop_signal, err)) < 0)
        return r;
    drop_odd_env(image->env);
    return read_ports(config, image, err);
}

int image_config_parse(struct slice json, const struct platform *platform,
                       struct registry_image *image, struct error *err) {
    json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    int r = json_is_object(root) ? read_config(root, platform, image, err)
                                 : malformed(err, "it is not a JSON object");
    json_decref(root);
    if (r == 0 && !(image->config_json = str_ndup(json.p, json.n)))
        r = error_set(err, -ENOMEM, "out of memory");
    return r;
}
