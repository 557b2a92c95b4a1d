/* replay.c - feeds every file of the given directories to a fuzz target, without libFuzzer: what
 * was once found stays a regression test. An empty corpus is a failure: it would test nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input lies in a block of exactly its size, so that a sanitizer sees a byte too far. */
static int replay_file(int dir, const char *name) {
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size);
    int r = (data || size == 0) && read(fd, data, size) == st.st_size ? 0 : -EIO;
    close(fd);
    if (r == 0)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    return r;
}

static int is_input(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static int replay_dir(const char *path) {
    struct dirent **entries;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    int n = dir < 0 ? -1 : scandirat(dir, ".", &entries, is_input, alphasort);
    if (n <= 0) {
        fprintf(stderr, "%s: %s\n", path, n < 0 ? strerror(errno) : "holds no inputs");
        return -1;
    }
    for (int i = 0; i < n; i++) {
        int code = r < 0 ? r : replay_file(dir, entries[i]->d_name);
        if (code < 0 && r == 0) {
            fprintf(stderr, "%s/%s: %s\n", path, entries[i]->d_name, strerror(-code));
            r = code;
        }
        free(entries[i]);
    }
    free(entries);
    close(dir);
    if (r == 0)
        printf("%s: %d inputs replayed\n", path, n);
    return r;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (int i = 1; i < argc; i++)
        if (replay_dir(argv[i]) < 0)
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
