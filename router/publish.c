#include "router/publish.h"

#include <stdlib.h>

void publisher_init(struct publisher *p) {
    *p = (struct publisher){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void publisher_fini(struct publisher *p) {
    for (size_t i = 0; i < p->retired_count; i++)
        table_unref(p->retired[i]);
    free(p->retired);
    table_unref(p->current);
    *p = (struct publisher){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static void retire(struct publisher *p, struct table *t) {
    struct table **grown = mem_resize(p->retired, p->retired_count + 1, sizeof(struct table *));
    if (!grown) {
        table_unref(t); /* the last worker to let go frees it then */
        return;
    }
    p->retired = grown;
    p->retired[p->retired_count++] = t;
}

void publisher_set(struct publisher *p, struct table *t) {
    pthread_mutex_lock(&p->lock);
    struct table *was = p->current;
    p->current = t;
    atomic_fetch_add_explicit(&p->version, 1, memory_order_release);
    pthread_mutex_unlock(&p->lock);
    if (was)
        retire(p, was);
    publisher_sweep(p);
}

void publisher_sweep(struct publisher *p) {
    size_t kept = 0;
    for (size_t i = 0; i < p->retired_count; i++) {
        if (table_is_last_ref(p->retired[i]))
            table_unref(p->retired[i]);
        else
            p->retired[kept++] = p->retired[i];
    }
    p->retired_count = kept;
}

void view_refresh_slow(struct view *v, struct publisher *p) {
    struct table *was = v->table;
    pthread_mutex_lock(&p->lock);
    v->version = atomic_load_explicit(&p->version, memory_order_relaxed);
    v->table = p->current ? table_ref(p->current) : NULL;
    pthread_mutex_unlock(&p->lock);
    table_unref(was);
}

void view_fini(struct view *v) {
    table_unref(v->table);
    *v = (struct view){0};
}
