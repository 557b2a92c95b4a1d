/* tasks.c - commands that run once beside an app: run-task, tasks, task, terminate-task. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

#define POLL_S 1

/* "Tue, 24 Nov 2026 09:00:00 UTC" */
static void time_text(const char *rfc3339, char *buf, size_t n) {
    struct tm tm = {0};
    if (strptime(rfc3339, "%Y-%m-%dT%H:%M:%SZ", &tm))
        strftime(buf, n, "%a, %d %b %Y %H:%M:%S UTC", &tm);
    else
        snprintf(buf, n, "%s", rfc3339);
}

static const char *command_text(const json_t *task) {
    const json_t *command = json_object_get(task, "command");
    return command ? json_string_value(command) : "[hidden]";
}

/* --- run-task
 * ------------------------------------------------------------------------------------- */

struct wishes {
    const char *command, *name, *memory, *disk, *log_rate, *process;
    bool wait;
};

static int take_log_rate(const char *text, json_t *body, struct error *err) {
    uint64_t bytes = 0;
    bool unlimited = str_eq(text, "-1");
    if (!text)
        return 0;
    if (!unlimited && (parse_bytes(text, &bytes) < 0 || bytes > INT32_MAX))
        return error_set(err, -EINVAL,
                         "Incorrect Usage: invalid argument for flag `-l': Byte quantity must be "
                         "an integer with a unit of measurement like B, K, KB, M, MB, G, or GB");
    json_object_set_new(body, "log_rate_limit_in_bytes_per_second",
                        json_integer(unlimited ? -1 : (json_int_t)bytes));
    return 0;
}

static int take_process(struct cli *cli, const char *app_guid, const char *type, json_t *body,
                        struct error *err) {
    json_t *process = NULL;
    if (!type)
        return 0;
    int r = rest_get(&cli->rest, &process, err, "/v3/apps/%s/processes/%s", app_guid, type);
    if (r == 0)
        json_object_set_new(body, "template",
                            json_pack("{s:{s:s}}", "process", "guid", json_text(process, "guid")));
    json_decref(process);
    return r;
}

static int fill_body(struct cli *cli, const char *app_guid, const struct wishes *w, json_t *body,
                     struct error *err) {
    int r;
    if (!w->command && !w->process)
        return error_set(err, -EINVAL, "Incorrect Usage: one of --command and --process is needed");
    if ((w->command && json_object_set_new(body, "command", json_string(w->command)) < 0) ||
        (w->name && json_object_set_new(body, "name", json_string(w->name)) < 0))
        return error_set(err, -EINVAL, "command and name must be valid UTF-8");
    if ((r = cli_megabytes("-m", w->memory, body, "memory_in_mb", err)) < 0 ||
        (r = cli_megabytes("-k", w->disk, body, "disk_in_mb", err)) < 0 ||
        (r = take_log_rate(w->log_rate, body, err)) < 0)
        return r;
    return take_process(cli, app_guid, w->process, body, err);
}

static int wait_for_end(struct cli *cli, const char *guid, struct error *err) {
    printf("\nWaiting for task to complete execution...\n");
    for (;;) {
        json_t *task = NULL;
        int r = rest_get(&cli->rest, &task, err, "/v3/tasks/%s", guid);
        if (r < 0)
            return r;
        bool done = str_eq(json_text(task, "state"), "SUCCEEDED");
        bool failed = str_eq(json_text(task, "state"), "FAILED");
        if (failed)
            r = error_set(err, -ECHILD, "Task failed to complete successfully: %s",
                          json_text_at(task, "result.failure_reason"));
        json_decref(task);
        if (done || failed) {
            if (done)
                printf("Task has completed successfully.\n");
            return r;
        }
        fflush(stdout);
        sleep(POLL_S);
    }
}

static int run_task(struct cli *cli, const char *app_guid, const struct wishes *w,
                    struct error *err) {
    json_t *body = json_object(), *task = NULL;
    _cleanup_(freep) char *path = str_printf("/v3/apps/%s/tasks", app_guid);
    int r = body && path ? fill_body(cli, app_guid, w, body, err)
                         : error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = rest_call(&cli->rest, "POST", path, body, &task, err);
    if (r == 0) {
        printf("Task has been submitted successfully for execution.\n");
        cli_ok();
        printf("\ntask name:   %s\ntask id:     %" PRId64 "\n", json_text(task, "name"),
               (int64_t)json_number(task, "sequence_id"));
    }
    if (r == 0 && w->wait)
        r = wait_for_end(cli, json_text(task, "guid"), err);
    json_decref(task);
    json_decref(body);
    return r;
}

int cmd_run_task(struct cli *cli, int argc, char **argv, struct error *err) {
    struct wishes w = {0};
    const struct flag flags[] = {
        {"-c", "--command", &w.command, NULL}, {"--name", NULL, &w.name, NULL},
        {"-m", NULL, &w.memory, NULL},         {"-k", NULL, &w.disk, NULL},
        {"-l", NULL, &w.log_rate, NULL},       {"--process", NULL, &w.process, NULL},
        {"-w", "--wait", NULL, &w.wait}};
    struct args a;
    json_t *app = NULL;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 2, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    if (a.count == 2) /* as before CLI 7: run-task APP COMMAND */
        w.command = a.positional[1];
    cli_say(cli, "Creating task for app", a.positional[0]);
    if ((r = cli_find_app(cli, a.positional[0], &app, err)) == 0)
        r = run_task(cli, json_text(app, "guid"), &w, err);
    json_decref(app);
    return r;
}

/* --- tasks, task
 * ---------------------------------------------------------------------------------- */

int cmd_tasks(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"id", "name", "state", "start time", "command"};
    struct args a;
    json_t *app = NULL, *tasks = NULL, *task;
    size_t i;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    cli_say(cli, "Getting tasks for app", a.positional[0]);
    if ((r = cli_find_app(cli, a.positional[0], &app, err)) == 0)
        r = rest_list(&cli->rest, &tasks, err,
                      "/v3/apps/%s/tasks?order_by=-created_at&per_page=5000",
                      json_text(app, "guid"));
    json_decref(app);
    if (r < 0)
        return r;
    printf("\n");
    if (json_array_size(tasks) == 0) {
        printf("No tasks found for application.\n");
    } else {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        json_array_foreach(tasks, i, task) {
            char when[64];
            time_text(json_text(task, "created_at"), when, sizeof when);
            table_add(t, "%" PRId64, (int64_t)json_number(task, "sequence_id"));
            table_add(t, "%s", json_text(task, "name"));
            table_add(t, "%s", json_text(task, "state"));
            table_add(t, "%s", when);
            table_add(t, "%s", command_text(task));
        }
        table_print(t);
        table_free(t);
    }
    json_decref(tasks);
    return 0;
}

/* The task of an app with this sequence id (owned JSON). */
static int find_task(struct cli *cli, const char *app_name, const char *id, json_t **ret,
                     struct error *err) {
    json_t *app = NULL, *tasks = NULL;
    uint64_t number;
    if (parse_u64(id, 1, INT64_MAX, &number) < 0)
        return error_set(err, -EINVAL, "Incorrect Usage: Value for TASK_ID must be integer");
    int r = cli_find_app(cli, app_name, &app, err);
    if (r == 0)
        r = rest_list(&cli->rest, &tasks, err, "/v3/apps/%s/tasks?sequence_ids=%" PRIu64,
                      json_text(app, "guid"), number);
    json_decref(app);
    if (r < 0)
        return r;
    *ret = json_incref(json_array_get(tasks, 0));
    json_decref(tasks);
    return *ret ? 0 : error_set(err, -ENOENT, "Task sequence ID %s not found.", id);
}

int cmd_task(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *task = NULL;
    char when[64];
    int r = args_parse(argc, argv, NULL, 0, 2, 2, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Getting task %s for app %s in org %s / space %s as %s...\n", a.positional[1],
           a.positional[0], cli->session.org, cli->session.space, cli->session.user);
    if ((r = find_task(cli, a.positional[0], a.positional[1], &task, err)) < 0)
        return r;
    time_text(json_text(task, "created_at"), when, sizeof when);
    printf("\nid:               %" PRId64 "\nname:             %s\nstate:            %s\n"
           "start time:       %s\ncommand:          %s\nmemory in mb:     %" PRId64
           "\ndisk in mb:       %" PRId64 "\nlog rate limit:   %" PRId64 "\nfailure reason:   %s\n",
           (int64_t)json_number(task, "sequence_id"), json_text(task, "name"),
           json_text(task, "state"), when, command_text(task),
           (int64_t)json_number(task, "memory_in_mb"), (int64_t)json_number(task, "disk_in_mb"),
           (int64_t)json_number(task, "log_rate_limit_in_bytes_per_second"),
           json_text_at(task, "result.failure_reason"));
    json_decref(task);
    return 0;
}

/* --- terminate-task
 * ------------------------------------------------------------------------------- */

int cmd_terminate_task(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *task = NULL;
    int r = args_parse(argc, argv, NULL, 0, 2, 2, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Terminating task %s of app %s in org %s / space %s as %s...\n", a.positional[1],
           a.positional[0], cli->session.org, cli->session.space, cli->session.user);
    if ((r = find_task(cli, a.positional[0], a.positional[1], &task, err)) < 0)
        return r;
    _cleanup_(freep) char *path =
        str_printf("/v3/tasks/%s/actions/cancel", json_text(task, "guid"));
    json_decref(task);
    r = path ? rest_call(&cli->rest, "POST", path, NULL, NULL, err)
             : error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        cli_ok();
    return r;
}
