/* droplet.c - an image's metadata as a droplet row, in the words of Cloud Foundry's staging result
 * (dockerapplifecycle: models.go, protocol/protocol.go). */
#include <errno.h>
#include <jansson.h>

#include "controller/staging/internal.h"

static void json_freep(json_t **j) {
    json_decref(*j);
}

static json_t *list_json(char *const *list) {
    json_t *array = json_array();
    for (; array && list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static int set_json(char **dst, json_t *value) {
    free(*dst);
    *dst = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    return *dst ? 0 : -ENOMEM;
}

static json_t *ports_json(const struct registry_image *image) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < image->port_count; i++)
        json_array_append_new(array, json_pack("{s:i,s:s}", "Port", (int)image->ports[i].number,
                                               "Protocol", image->ports[i].udp ? "udp" : "tcp"));
    return array;
}

/* Entrypoint and cmd joined by spaces: for display only, quoting is lost. */
static json_t *process_types_json(const struct registry_image *image) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    char *const *const lists[] = {image->entrypoint, image->cmd};
    strbuf_puts(&text, "");
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (char *const *word = lists[i]; word && *word; word++)
            strbuf_printf(&text, "%s%s", text.n ? " " : "", *word);
    return text.failed ? NULL : json_pack("{s:s}", "web", text.p ? text.p : "");
}

static void set_unless_empty(json_t *object, const char *key, json_t *value) {
    bool empty =
        json_is_array(value) ? json_array_size(value) == 0 : str_empty(json_string_value(value));
    if (empty)
        json_decref(value);
    else
        json_object_set_new(object, key, value);
}

static json_t *execution_metadata_json(const struct registry_image *image) {
    json_t *object = json_object();
    if (!object)
        return NULL;
    set_unless_empty(object, "cmd", list_json(image->cmd));
    set_unless_empty(object, "entrypoint", list_json(image->entrypoint));
    set_unless_empty(object, "workdir", json_string(image->workdir ? image->workdir : ""));
    set_unless_empty(object, "ports", ports_json(image));
    set_unless_empty(object, "user", json_string(image->user ? image->user : ""));
    return object;
}

static int pack_image(struct droplet_row *row, const struct registry_image *image,
                      const char *reference) {
    size_t n = image->layer_count;
    _cleanup_(freep) Berth__Layer *layers = mem_calloc(n + 1, sizeof *layers);
    _cleanup_(freep) Berth__Layer **list = mem_calloc(n + 1, sizeof *list);
    if (!layers || !list)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        berth__layer__init(&layers[i]);
        layers[i].digest = image->layers[i].digest;
        layers[i].diff_id = image->layers[i].diff_id;
        layers[i].size = image->layers[i].size;
        layers[i].media_type = image->layers[i].media_type;
        list[i] = &layers[i];
    }
    Berth__Image packed;
    berth__image__init(&packed);
    packed.reference = (char *)reference;
    packed.registry = (char *)image->ref.registry;
    packed.repository = (char *)image->ref.repository;
    packed.digest = (char *)image->ref.digest;
    packed.layers = list;
    packed.n_layers = n;
    row->image_packed_n = berth__image__get_packed_size(&packed);
    free(row->image_packed);
    row->image_packed = malloc(row->image_packed_n + 1);
    if (!row->image_packed)
        return -ENOMEM;
    berth__image__pack(&packed, row->image_packed);
    return 0;
}

int droplet_fill(struct droplet_row *row, const struct registry_image *image, const char *reference,
                 struct error *err) {
    _cleanup_(json_freep) json_t *metadata = execution_metadata_json(image);
    if (!metadata || set_json(&row->entrypoint, list_json(image->entrypoint)) < 0 ||
        set_json(&row->cmd, list_json(image->cmd)) < 0 ||
        set_json(&row->env, list_json(image->env)) < 0 ||
        set_json(&row->ports, ports_json(image)) < 0 ||
        set_json(&row->process_types, process_types_json(image)) < 0 ||
        set_json(&row->execution_metadata, json_incref(metadata)) < 0 ||
        str_set(&row->state, "STAGED") < 0 || str_set(&row->image, reference) < 0 ||
        str_set(&row->digest, image->ref.digest) < 0 || str_set(&row->user, image->user) < 0 ||
        str_set(&row->workdir, image->workdir) < 0 ||
        str_set(&row->stop_signal, image->stop_signal) < 0 || pack_image(row, image, reference) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}
