#include "cell/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/image/tree.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

/* Deeper than any real image; bounds the recursion and descriptors of what walks the tree. */
#define MAX_DEPTH 256
/* What one entry's headers (pax attributes, long names, sparse maps) may take. libarchive bounds
 * each of them at 1 MiB, but not the map of an old GNU sparse file. */
#define MAX_HEADER_BYTES ((size_t)8 * 1024 * 1024)
#define NAME_SHOWN       120

/* AUFS's hard links of old Docker images lie here; not part of the image. */
#define WHITEOUT        ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_LINKS  ".wh..wh.plnk"

struct unpack {
    const struct unpack_order *order;
    struct tree tree;
    struct archive *archive;
    uint64_t entries, bytes;
    size_t header_bytes; /* taken since the headers of this entry began */
    bool in_header;
    bool has_links_dir;
    int input_code; /* what the input failed with */
    struct error input_error;
};

/* --- names ------------------------------------------------------------------------------------ */

/* `name`, cut to what a message has room for. */
static const char *shown(const char *name, char buf[static NAME_SHOWN + 8]) {
    bool cut = strlen(name) > NAME_SHOWN;
    snprintf(buf, NAME_SHOWN + 8, "%.*s%s", NAME_SHOWN, name, cut ? "..." : "");
    return buf;
}

/* Names are bytes, messages are text. */
static void keep_printable(struct error *err) {
    for (char *p = err ? err->msg : ""; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

/* Writes `from` without "." and empty components to `to`; refuses what leads elsewhere. */
static int clean_path(const char *from, char to[static PATH_MAX], struct error *err) {
    size_t n = 0, depth = 0;
    if (*from == '/')
        return error_set(err, -EBADMSG, "absolute path");
    while (*from) {
        size_t len = strcspn(from, "/");
        if (len == 2 && from[0] == '.' && from[1] == '.')
            return error_set(err, -EBADMSG, "path with \"..\"");
        if (len > NAME_MAX || n + len + 2 > PATH_MAX || depth >= MAX_DEPTH)
            return error_set(err, -EBADMSG, "path too long or too deep");
        if (len && !(len == 1 && *from == '.')) {
            if (n)
                to[n++] = '/';
            memcpy(to + n, from, len);
            n += len;
            depth++;
        }
        from += len;
        from += *from == '/';
    }
    to[n] = 0;
    return 0;
}

enum name_kind { NAME_FILE, NAME_WHITEOUT, NAME_OPAQUE, NAME_META };

/* What a clean path means. For a whiteout *path is changed to what it hides, for an opaque marker
 * to the directory. */
static int classify(struct unpack *u, char *path, enum name_kind *ret, struct error *err) {
    *ret = NAME_FILE;
    for (char *name = path, *next; *name; name = next) {
        size_t len = strcspn(name, "/");
        bool last = !name[len];
        next = name + len + !last;
        if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) != 0)
            continue;
        if (name == path && len == strlen(WHITEOUT_LINKS) && str_starts(name, WHITEOUT_LINKS)) {
            u->has_links_dir = true; /* links may refer to it: removed last */
            return 0;
        }
        if (last && str_eq(name, WHITEOUT_OPAQUE)) {
            *ret = NAME_OPAQUE;
            name[name > path ? -1 : 0] = 0;
            return 0;
        }
        if (str_starts(name, WHITEOUT_META)) {
            *ret = NAME_META;
            return 0;
        }
        const char *hidden = name + strlen(WHITEOUT);
        if (!last || !*hidden || str_eq(hidden, ".") || str_eq(hidden, ".."))
            return error_set(err, -EBADMSG, "malformed whiteout");
        memmove(name, hidden, strlen(hidden) + 1);
        *ret = NAME_WHITEOUT;
        return 0;
    }
    return 0;
}

/* --- libarchive ------------------------------------------------------------------------------- */

static la_ssize_t on_read(struct archive *a, void *arg, const void **block) {
    struct unpack *u = arg;
    ssize_t n;
    if (u->order->stop && *u->order->stop)
        n = error_set(&u->input_error, -ECANCELED, "cancelled");
    else if (u->in_header && u->header_bytes > MAX_HEADER_BYTES)
        n = error_set(&u->input_error, -EBADMSG, "headers of an entry are too large");
    else
        n = u->order->next(u->order->data, block, &u->input_error);
    if (n < 0) {
        u->input_code = (int)n;
        archive_set_error(a, EIO, "input");
        return ARCHIVE_FATAL;
    }
    u->header_bytes += (size_t)n;
    return n;
}

static int archive_failed(struct unpack *u, struct error *err) {
    if (u->input_code < 0)
        return error_set(err, u->input_code, "%s", u->input_error.msg);
    const char *why = archive_error_string(u->archive);
    return error_set(err, -EBADMSG, "malformed tar archive: %s", why ? why : "unknown");
}

static int open_archive(struct unpack *u, struct error *err) {
    u->archive = archive_read_new();
    if (!u->archive || archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(u->archive) != ARCHIVE_OK)
        return error_set(err, -ENOMEM, "out of memory");
    u->in_header = true;
    if (archive_read_open(u->archive, u, NULL, on_read, NULL) != ARCHIVE_OK)
        return archive_failed(u, err);
    return 0;
}

/* 1 with an entry, 0 at the end. A warning is about text in another character set, which is then
 * handed over as it stands: just what we want. */
static int next_entry(struct unpack *u, struct archive_entry **ret, struct error *err) {
    u->in_header = true;
    u->header_bytes = 0;
    int r = archive_read_next_header(u->archive, ret);
    u->in_header = false;
    if (r == ARCHIVE_EOF)
        return 0;
    return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 1 : archive_failed(u, err);
}

static bool keeps_xattr(const char *name) {
    return str_eq(name, "security.capability") ||
           (str_starts(name, "user.") && !str_starts(name, "user.overlay."));
}

static int read_xattrs(struct archive_entry *e, struct tree_attr *attr, struct error *err) {
    const char *name;
    const void *value;
    size_t n;
    attr->xattr_count = 0;
    if (archive_entry_xattr_reset(e) == 0)
        return 0;
    while (archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK) {
        if (!name || !keeps_xattr(name))
            continue;
        if (attr->xattr_count == ARRAY_SIZE(attr->xattrs))
            return error_set(err, -EBADMSG, "more than %zu extended attributes",
                             ARRAY_SIZE(attr->xattrs));
        attr->xattrs[attr->xattr_count++] = (struct tree_xattr){name, value, n};
    }
    return 0;
}

static int read_attr(struct archive_entry *e, struct tree_attr *attr, struct error *err) {
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return error_set(err, -EBADMSG, "owner out of range");
    attr->mode = archive_entry_perm(e) & 07777;
    attr->uid = (uid_t)uid;
    attr->gid = (gid_t)gid;
    attr->mtime.tv_sec = archive_entry_mtime(e);
    attr->mtime.tv_nsec = archive_entry_mtime_nsec(e);
    if (attr->mtime.tv_nsec < 0 || attr->mtime.tv_nsec > 999999999)
        attr->mtime.tv_nsec = 0;
    return read_xattrs(e, attr, err);
}

/* --- entries ---------------------------------------------------------------------------------- */

static int write_at(int fd, const char *p, size_t n, off_t at) {
    while (n) {
        ssize_t done = pwrite(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno == EDQUOT ? -ENOSPC : -errno;
        p += done;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

static int copy_data(struct unpack *u, int fd, uint64_t size, struct error *err) {
    const void *block;
    size_t n;
    la_int64_t at;
    uint64_t end = 0;
    int r;
    while ((r = archive_read_data_block(u->archive, &block, &n, &at)) != ARCHIVE_EOF) {
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return archive_failed(u, err);
        if (!n)
            continue;
        if (at < 0 || (uint64_t)at > size || n > size - (uint64_t)at)
            return error_set(err, -EBADMSG, "more data than its size");
        if ((r = write_at(fd, block, n, at)) < 0)
            return error_set(err, r, "cannot write: %s", strerror(-r));
        end = MAX(end, (uint64_t)at + n);
    }
    if (end < size && ftruncate(fd, (off_t)size) < 0)
        return error_set(err, -errno, "cannot set its size: %s", strerror(errno));
    return 0;
}

static int unpack_file(struct unpack *u, struct archive_entry *e, const char *path,
                       const struct tree_attr *attr, struct error *err) {
    int64_t size = archive_entry_size(e);
    if (size < 0)
        return error_set(err, -EBADMSG, "negative size");
    if (u->order->max_bytes && (uint64_t)size > u->order->max_bytes - u->bytes)
        return error_set(err, -EFBIG, "the layer's files are larger than the %llu bytes allowed",
                         (unsigned long long)u->order->max_bytes);
    u->bytes += (uint64_t)size;
    _cleanup_(close_fdp) int fd = -1;
    int r = tree_file(&u->tree, path, attr, &fd, err);
    if (r == 0 && size)
        r = copy_data(u, fd, (uint64_t)size, err);
    return r < 0 ? r : tree_file_done(&u->tree, fd, attr, (uint64_t)size, err);
}

static int unpack_link(struct unpack *u, const char *path, const char *target, struct error *err) {
    char clean[PATH_MAX], text[NAME_SHOWN + 8];
    int r = clean_path(target, clean, err);
    if (r == 0 && !*clean)
        r = error_set(err, -EBADMSG, "empty path");
    return r < 0 ? error_wrap(err, "hard link to %s", shown(target, text))
                 : tree_link(&u->tree, path, clean, err);
}

static int unpack_device(struct archive_entry *e, struct error *err) {
    return error_set(err, -EBADMSG, "is a device node (%s %llu:%llu), which no image may bring",
                     archive_entry_filetype(e) == AE_IFBLK ? "block" : "character",
                     (unsigned long long)archive_entry_rdevmajor(e),
                     (unsigned long long)archive_entry_rdevminor(e));
}

static int unpack_plain(struct unpack *u, struct archive_entry *e, const char *path,
                        struct error *err) {
    struct tree_attr attr;
    mode_t type = archive_entry_filetype(e);
    const char *link = archive_entry_hardlink(e);
    int r = read_attr(e, &attr, err);
    if (r < 0)
        return r;
    if (!*path && type != AE_IFDIR)
        return error_set(err, -EBADMSG, "the root of a layer must be a directory");
    if (link)
        return unpack_link(u, path, link, err);
    switch (type) {
    case AE_IFREG:
        return unpack_file(u, e, path, &attr, err);
    case AE_IFDIR:
        return tree_dir(&u->tree, path, &attr, err);
    case AE_IFLNK:
        link = archive_entry_symlink(e);
        return link ? tree_symlink(&u->tree, path, link, &attr, err)
                    : error_set(err, -EBADMSG, "symbolic link without a target");
    case AE_IFIFO:
        return tree_fifo(&u->tree, path, &attr, err);
    case AE_IFCHR:
    case AE_IFBLK:
        return unpack_device(e, err);
    default:
        return error_set(err, -EBADMSG, "unknown type of file");
    }
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct error *err) {
    char path[PATH_MAX], text[NAME_SHOWN + 8];
    enum name_kind kind;
    const char *name = archive_entry_pathname(e);
    if (!name)
        return error_set(err, -EBADMSG, "entry %llu has no name", (unsigned long long)u->entries);
    int r = clean_path(name, path, err);
    if (r == 0)
        r = classify(u, path, &kind, err);
    if (r == 0) {
        switch (kind) {
        case NAME_FILE:
            r = unpack_plain(u, e, path, err);
            break;
        case NAME_WHITEOUT:
            r = tree_whiteout(&u->tree, path, err);
            break;
        case NAME_OPAQUE:
            r = tree_opaque(&u->tree, path, err);
            break;
        case NAME_META:
            break;
        }
    }
    if (r < 0 && u->input_code == 0)
        return error_wrap(err, "entry %s", shown(name, text));
    return r;
}

static int unpack_entries(struct unpack *u, struct error *err) {
    struct archive_entry *e;
    int r;
    while ((r = next_entry(u, &e, err)) > 0) {
        if (u->order->stop && *u->order->stop)
            return error_set(err, -ECANCELED, "cancelled");
        u->entries++;
        if (u->order->max_entries && u->entries > u->order->max_entries)
            return error_set(err, -EFBIG, "the layer has more than the %llu entries allowed",
                             (unsigned long long)u->order->max_entries);
        if ((r = unpack_entry(u, e, err)) < 0)
            return r;
        /* What was left of its data is no header. */
        if (archive_read_data_skip(u->archive) < ARCHIVE_WARN)
            return archive_failed(u, err);
    }
    if (r == 0 && u->has_links_dir)
        r = tree_remove(&u->tree, WHITEOUT_LINKS, err);
    return r < 0 ? r : tree_finish(&u->tree, err);
}

static int drain(struct unpack *u, struct error *err) {
    const void *block;
    ssize_t n;
    while ((n = u->order->next(u->order->data, &block, err)) > 0)
        if (u->order->stop && *u->order->stop)
            return error_set(err, -ECANCELED, "cancelled");
    return (int)n;
}

/* A umask of this thread alone, so that modes can be given when files are made. */
static int clear_umask(struct error *err) {
    static __thread bool cleared;
    if (!cleared && unshare(CLONE_FS) < 0)
        return error_set(err, -errno, "cannot unshare the umask: %s", strerror(errno));
    cleared = true;
    umask(0);
    return 0;
}

/* libarchive converts names between character sets, and normalises them, by the thread's locale.
 * In the C locale it leaves them alone: names in an image are bytes. */
static int unpack_in_c_locale(struct unpack *u, struct error *err) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return error_set(err, -ENOMEM, "out of memory");
    locale_t was = uselocale(c);
    int r = open_archive(u, err);
    if (r == 0)
        r = unpack_entries(u, err);
    archive_read_free(u->archive);
    uselocale(was);
    freelocale(c);
    return r;
}

int unpack_layer(const struct unpack_order *order, struct unpack_result *ret, struct error *err) {
    struct unpack u = {.order = order};
    int r = clear_umask(err);
    if (r < 0)
        return r;
    tree_init(&u.tree, order->root);
    r = unpack_in_c_locale(&u, err);
    uint64_t disk_bytes = u.tree.disk_bytes;
    tree_fini(&u.tree);
    if (r == 0)
        r = drain(&u, err);
    if (r == 0)
        *ret = (struct unpack_result){u.entries, disk_bytes};
    else
        keep_printable(err);
    return r;
}
