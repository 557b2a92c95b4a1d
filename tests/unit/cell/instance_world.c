/* instance_world.c - see instance_world.h. */
#include "tests/unit/cell/instance_world.h"

#include <errno.h>

struct world *w;

/* --- fakes --- */

static int fake_pull(struct image_store *s, const Berth__Image *image,
                     const struct image_pull_ops *ops, struct image_pull **ret, struct error *err) {
    (void)s, (void)image;
    ck_assert(!w->has_pull);
    if (w->pull_refused)
        return error_set(err, -ENOSPC, "no space left on the host");
    w->pulling = *ops;
    w->has_pull = true;
    *ret = (struct image_pull *)w;
    return 0;
}

static void fake_cancel(struct image_pull *p) {
    ck_assert_ptr_eq(p, w);
    ck_assert(w->has_pull);
    w->has_pull = false;
}

static char *no_strings[] = {NULL};

static struct image_lease *new_lease(void) {
    struct image_lease *l = mem_zalloc(sizeof *l);
    l->layers = l->diff_ids = no_strings;
    w->leases++;
    return l;
}

static int fake_adopt(struct image_store *s, const char *const *diff_ids, size_t n,
                      struct image_lease **ret, struct error *err) {
    (void)s, (void)diff_ids, (void)n, (void)err;
    *ret = new_lease();
    return 0;
}

static void fake_release(struct image_lease *l) {
    w->leases--;
    free(l);
}

static int fake_create(struct container_engine *e, const struct container_spec *spec,
                       void (*done)(void *, struct container *, const struct error *), void *arg,
                       struct error *err) {
    (void)e;
    ck_assert_str_eq(spec->id, "guid-1");
    w->creates++;
    if (w->create_refused)
        return error_set(err, -EINVAL, "no such thing");
    w->create_done = done;
    w->create_arg = arg;
    w->before_start = spec->before_start;
    return 0;
}

static void fake_signal_stop(struct container *c) {
    ck_assert(w->has_container);
    (void)c;
    w->stops++;
}

static void fake_kill(struct container *c) {
    ck_assert(w->has_container);
    (void)c;
    w->kills++;
}

static int fake_destroy(struct container *c, void (*done)(void *, const struct error *), void *arg,
                        struct error *err) {
    (void)c, (void)err;
    ck_assert(w->has_container);
    ck_assert_ptr_null(w->destroy_done);
    w->destroys++;
    w->destroy_done = done;
    w->destroy_arg = arg;
    return 0;
}

static void fake_set_owner(struct container *c, void *owner) {
    c->owner = owner;
}

static const char *fake_ip(const struct container *c) {
    (void)c;
    return "10.0.0.9";
}

static uint16_t fake_host_port(const struct container *c, uint16_t port) {
    (void)c;
    return (uint16_t)(port + 50000);
}

static pid_t fake_pid(const struct container *c) {
    (void)c;
    return 0;
}

static int fake_health(struct health **ret, struct event_base *loop,
                       const struct health_config *config, const struct health_callbacks *callbacks,
                       struct error *err) {
    (void)loop, (void)err;
    ck_assert(!w->has_health);
    w->health_config = *config;
    w->health = *callbacks;
    w->has_health = true;
    *ret = (struct health *)w;
    return 0;
}

static void fake_health_stop(struct health *h) {
    ck_assert_ptr_eq(h, w);
    ck_assert(w->has_health);
    w->has_health = false;
}

static uint64_t mono_ms(void *data) {
    (void)data;
    return w->now_ms;
}

static uint64_t wall_ns(void *data) {
    (void)data;
    return 1000000u + w->now_ms;
}

static void on_change(void *data, struct instance *in) {
    Berth__ActualLrp lrp;
    (void)data;
    instance_describe(in, &lrp);
    ck_assert_uint_le(berth__actual_lrp__get_packed_size(&lrp), 4096);
    strbuf_printf(&w->states, "%s ", instance_state_name(instance_state(in)));
    w->last_told = lrp.state;
}

static void say(void *data, struct instance *in, const char *source, Berth__LogStream stream,
                const char *text) {
    (void)data;
    strbuf_printf(&w->lines, "%s %s: %s\n", source ? source : instance_source_type(in),
                  stream == BERTH__LOG_STREAM__LOG_ERR ? "ERR" : "OUT", text);
}

static void follow(void *data, struct instance *in) {
    (void)data, (void)in;
    w->follows++;
}

static void unfollow(void *data, struct instance *in) {
    (void)data, (void)in;
    w->unfollows++;
}

static int keep(void *data, struct instance *in, const Berth__InstanceRecord *record) {
    (void)data, (void)in;
    size_t n = berth__instance_record__get_packed_size(record);
    _cleanup_(freep) uint8_t *bytes = malloc(n + 1);
    berth__instance_record__pack(record, bytes);
    if (w->record)
        berth__instance_record__free_unpacked(w->record, NULL);
    w->record = berth__instance_record__unpack(NULL, n, bytes);
    ck_assert_ptr_nonnull(w->record);
    w->finals += record->outcome != NULL;
    return w->keep_fails ? -ENOSPC : 0;
}

static const struct image_ops images = {fake_pull, fake_cancel, fake_adopt, fake_release};
static int keep_packed(void *data, const char *guid, const void *bytes, size_t n,
                       struct error *err) {
    ck_assert_str_eq(guid, "guid-1");
    if (w->keep_fails)
        return error_set(err, -EIO, "the disk is gone");
    Berth__InstanceRecord *record = berth__instance_record__unpack(NULL, n, bytes);
    ck_assert_ptr_nonnull(record);
    keep(data, w->in, record);
    berth__instance_record__free_unpacked(record, NULL);
    return 0;
}

static const struct runtime_ops runtime = {fake_create,    fake_signal_stop, fake_kill,
                                           fake_destroy,   fake_set_owner,   fake_ip,
                                           fake_host_port, fake_pid};
static const struct health_ops health = {fake_health, fake_health_stop};
static const struct instance_host_ops host = {mono_ms, wall_ns,  on_change, say,
                                              follow,  unfollow, keep,      keep_packed};
static const struct launch_defaults defaults = {1 << 30, 100, 1024};

/* --- the world --- */

static Berth__Assignment *assignment(void) {
    static Berth__Image image;
    static Berth__DesiredLrp lrp;
    static Berth__Assignment a;
    static Berth__HealthCheck check;
    static uint32_t ports[] = {8080};
    static char *command[] = {(char *)(uintptr_t) "/app"};
    berth__image__init(&image);
    berth__desired_lrp__init(&lrp);
    berth__assignment__init(&a);
    berth__health_check__init(&check);
    image.reference = (char *)(uintptr_t) "reg/app:1";
    lrp.image = &image;
    lrp.process_type = (char *)(uintptr_t) "web";
    lrp.ports = ports;
    lrp.n_ports = 1;
    lrp.command = command;
    lrp.n_command = 1;
    lrp.health = &check;
    check.timeout_s = 7;
    a.instance_guid = (char *)(uintptr_t) "guid-1";
    a.index = 4;
    a.lrp = &lrp;
    return &a;
}

static void new_instance(const Berth__Assignment *a) {
    const struct instance_deps deps = {
        .images = &images,
        .runtime = &runtime,
        .health = &health,
        .host = &host,
        .defaults = &defaults,
        .cell_name = "cell-1",
        .address = "192.0.2.1",
    };
    ck_assert_int_eq(instance_new(&w->in, &deps, a, NULL), 0);
}

static void make_world(struct world *world) {
    *world = (struct world){.now_ms = 100000};
    w = world;
    strbuf_puts(&w->lines, "");
    strbuf_puts(&w->states, "");
}

void setup(struct world *world) {
    make_world(world);
    new_instance(assignment());
}

void setup_task(struct world *world) {
    Berth__Assignment *a = assignment();
    a->lrp->task = true;
    a->lrp->log_source = (char *)(uintptr_t) "APP/TASK/migrate";
    a->lrp->n_ports = 0;
    make_world(world);
    new_instance(a);
}

void teardown(void) {
    instance_free(w->in);
    ck_assert(!w->has_pull && !w->has_health);
    ck_assert_int_eq(w->leases, 0);
    if (w->record)
        berth__instance_record__free_unpacked(w->record, NULL);
    strbuf_fini(&w->lines);
    strbuf_fini(&w->states);
}

void pulled(void) {
    w->has_pull = false;
    w->pulling.on_done(w->pulling.data, new_lease(), NULL);
}

void pull_fails(int code, const char *msg) {
    struct error err = {0};
    error_set(&err, code, "%s", msg);
    w->has_pull = false;
    w->pulling.on_done(w->pulling.data, NULL, &err);
}

void created(void) {
    void (*done)(void *, struct container *, const struct error *) = w->create_done;
    w->create_done = NULL;
    w->has_container = true;
    w->made++;
    done(w->create_arg, &w->container, NULL);
}

void create_fails(int code, const char *msg) {
    struct error err = {0};
    error_set(&err, code, "%s", msg);
    void (*done)(void *, struct container *, const struct error *) = w->create_done;
    w->create_done = NULL;
    done(w->create_arg, NULL, &err);
}

void destroyed(bool well) {
    struct error err = {.code = -EBUSY, .msg = "busy"};
    void (*done)(void *, const struct error *) = w->destroy_done;
    w->destroy_done = NULL;
    if (well) {
        w->has_container = false;
        w->gone++;
    }
    done(w->destroy_arg, well ? NULL : &err);
}

void exits(int status, bool oom) {
    instance_exited(w->in, &(struct container_exit){.status = status, .out_of_memory = oom});
}

void run(void) {
    instance_begin(w->in);
    pulled();
    ck_assert_int_eq(w->before_start(w->create_arg, NULL), 0);
    created();
    w->health.on_healthy(w->health.data);
}

void pass(uint64_t ms) {
    w->now_ms += ms;
    instance_tick(w->in);
}

bool said(const char *line) {
    return strstr(w->lines.p, line) != NULL;
}

Berth__ActualLrp told(void) {
    Berth__ActualLrp lrp;
    instance_describe(w->in, &lrp);
    return lrp;
}
