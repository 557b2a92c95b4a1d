/* curl.c - `berth curl PATH`: any request to the API with the user's token. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "controller/client/cli.h"

#define MAX_HEADERS 16

/* Takes the -H flags (there may be several) out of argv; returns the new argc. */
static int take_headers(int argc, char **argv, const char **headers, size_t *count) {
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (str_eq(argv[i], "-H") && i + 1 < argc && *count < MAX_HEADERS)
            headers[(*count)++] = argv[++i];
        else
            argv[kept++] = argv[i];
    }
    return kept;
}

int cmd_curl(struct cli *cli, int argc, char **argv, struct error *err) {
    const char *method = NULL, *data = NULL, *output = NULL;
    bool show_headers = false, fail = false;
    const struct flag flags[] = {
        {"-X", NULL, &method, NULL},       {"-d", "--data", &data, NULL},
        {"--output", NULL, &output, NULL}, {"-i", NULL, NULL, &show_headers},
        {"-f", "--fail", NULL, &fail},
    };
    const char *headers[MAX_HEADERS + 2] = {0};
    size_t header_count = 0;
    argc = take_headers(argc, argv, headers, &header_count);
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    _cleanup_(freep) char *from_file = NULL;
    size_t data_n = data ? strlen(data) : 0;
    if (data && data[0] == '@') {
        if ((r = fs_read(AT_FDCWD, data + 1, 64 << 20, &from_file, &data_n, err)) < 0)
            return r;
        data = from_file;
    }
    if (data && header_count == 0)
        headers[header_count++] = "Content-Type: application/json";
    struct rest_raw q = {.method = method ? method
                                   : data ? "POST"
                                          : "GET",
                         .path = a.positional[0],
                         .headers = headers,
                         .body = data,
                         .body_n = data_n};
    if (strstr(q.path, "://"))
        return error_set(err, -EINVAL, "give a path such as /v3/apps, not a URL");
    _cleanup_(strbuf_fini) struct strbuf body = {0}, head = {0};
    if ((r = rest_raw(&cli->rest, &q, &body, &head, err)) < 0)
        return r;
    if (show_headers)
        fwrite(head.p ? head.p : "", 1, head.n, stdout);
    if (output) {
        r = fs_write_quick(AT_FDCWD, output, 0600, body.p ? body.p : "", body.n, err);
        if (r < 0)
            return r;
    } else {
        fwrite(body.p ? body.p : "", 1, body.n, stdout);
        putchar('\n');
    }
    if (fail && cli->rest.status >= 400)
        return error_set(err, -EREMOTEIO, "The requested URL returned error: %ld",
                         cli->rest.status);
    return 0;
}
