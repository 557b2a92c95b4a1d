#include "tests/unit/image/archive_maker.h"
#include "tests/unit/lib/runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "cell/image/unpack.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/random.h"

static char outer[64]; /* holds "layer" and a file that no archive may touch */
static int root;
static struct strbuf tar;

static void set_up(void) {
    snprintf(outer, sizeof outer, "/tmp/berth-unpack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(outer));
    int fd = open(outer, O_RDONLY | O_DIRECTORY);
    struct error err = {0};
    ck_assert_int_eq(mkdirat(fd, "layer", 0755), 0);
    ck_assert_int_eq(fs_write_quick(fd, "canary", 0600, "alive", 5, &err), 0);
    root = openat(fd, "layer", O_RDONLY | O_DIRECTORY);
    close(fd);
    tar = (struct strbuf){0};
}

static void tear_down(void) {
    struct error err = {0};
    _cleanup_(freep) char *text = NULL;
    char path[80];
    snprintf(path, sizeof path, "%s/canary", outer);
    ck_assert_int_eq(fs_read(AT_FDCWD, path, 100, &text, NULL, &err), 0);
    ck_assert_str_eq(text, "alive");
    close(root);
    strbuf_fini(&tar);
    ck_assert_msg(fs_remove_tree(AT_FDCWD, outer, &err) == 0, "%s", err.msg);
}

static size_t step = 10000; /* bytes a block: entries straddle blocks */
static size_t at;

static ssize_t next(void *data, const void **block, struct error *err) {
    const struct strbuf *from = data;
    size_t n = MIN(step, from->n - at);
    *block = from->p + at;
    at += n;
    return (ssize_t)n;
}

static int unpack_limited(uint64_t max_bytes, uint64_t max_entries, struct error *err) {
    struct unpack_order order = {
        .root = root,
        .next = next,
        .data = &tar,
        .max_bytes = max_bytes,
        .max_entries = max_entries,
    };
    struct unpack_result made = {0};
    at = 0;
    return unpack_layer(&order, &made, err);
}

static void unpack(void) {
    struct error err = {0};
    tar_end(&tar);
    ck_assert_msg(unpack_limited(0, 0, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(at, tar.n); /* the digest is over all of it */
}

static void expect_refused_as(int code, const char *why) {
    struct error err = {0};
    tar_end(&tar);
    ck_assert_int_eq(unpack_limited(1 << 20, 1000, &err), code);
    ck_assert_msg(strstr(err.msg, why), "\"%s\" does not say \"%s\"", err.msg, why);
    strbuf_clear(&tar);
}

static void expect_refused(const char *why) {
    expect_refused_as(-EBADMSG, why);
}

static struct stat look(const char *path) {
    struct stat st;
    ck_assert_msg(fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0, "%s: %s", path,
                  strerror(errno));
    return st;
}

static bool there(const char *path) {
    struct stat st;
    return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void expect_text(const char *path, const char *text) {
    struct error err = {0};
    _cleanup_(freep) char *have = NULL;
    ck_assert_msg(fs_read(root, path, 1 << 20, &have, NULL, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(have, text);
}

static bool is_whiteout(const char *path) {
    struct stat st = look(path);
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static bool is_opaque(const char *path) {
    char value[8] = "";
    _cleanup_(close_fdp) int fd = openat(root, path, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(fd, 0);
    return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

static void file(const char *name, const char *text) {
    tar_add(&tar, (struct tar_entry){.name = name, .mode = 0644, .data = text, .n = strlen(text)});
}

static void dir(const char *name) {
    tar_add(&tar, (struct tar_entry){.name = name, .type = '5', .mode = 0755});
}

static void symlink_to(const char *name, const char *target) {
    tar_add(&tar, (struct tar_entry){.name = name, .type = '2', .mode = 0777, .link = target});
}

static void hard_link(const char *name, const char *target) {
    tar_add(&tar, (struct tar_entry){.name = name, .type = '1', .mode = 0644, .link = target});
}

/* --- what an image may hold is kept exactly --------------------------------------------------- */

START_TEST(owners_modes_and_times_are_exact) {
    const struct tar_entry entries[] = {
        {.name = "./", .type = '5', .mode = 0711, .uid = 1, .gid = 2, .mtime = 111},
        {.name = "d/", .type = '5', .mode = 01777, .mtime = 222},
        {.name = "d/setuid", .mode = 04755, .mtime = 333, .data = "x", .n = 1},
        {.name = "d/setuid_of_7", .mode = 06755, .uid = 7, .gid = 8, .mtime = 444},
        {.name = "group/", .type = '5', .mode = 02775, .gid = 50, .mtime = 555},
        {.name = "group/f", .mode = 0640, .mtime = 666},
        {.name = "group/sub/", .type = '5', .mode = 0750, .mtime = 777},
        {.name = "group/fifo", .type = '6', .mode = 0600, .mtime = 888},
        {.name = "closed/", .type = '5', .mode = 0, .mtime = 999},
        {.name = "closed/f", .mode = 0, .uid = 65534, .gid = 65534, .mtime = 1000},
        {.name = "d/big_owner", .mode = 0777, .uid = 2000000, .gid = 2000000, .mtime = 1001},
    };
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        tar_add(&tar, entries[i]);
    unpack();
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        const struct tar_entry *e = &entries[i];
        struct stat st = look(e->name);
        ck_assert_msg((st.st_mode & 07777) == e->mode, "%s: mode %o", e->name, st.st_mode);
        ck_assert_msg(st.st_uid == e->uid && st.st_gid == e->gid, "%s: owner %u:%u", e->name,
                      st.st_uid, st.st_gid);
        ck_assert_msg(st.st_mtime == e->mtime, "%s: time %ld", e->name, (long)st.st_mtime);
        ck_assert_uint_eq(st.st_size, S_ISREG(st.st_mode) ? e->n : (size_t)st.st_size);
    }
    ck_assert(S_ISFIFO(look("group/fifo").st_mode));
}
END_TEST

START_TEST(links_are_links) {
    file("a/f", "content");
    symlink_to("a/absolute", "/etc/passwd"); /* resolved inside a container: fine */
    symlink_to("a/up", "../../../../etc/passwd");
    hard_link("b/same", "a/f");
    hard_link("b/link", "./a/absolute");
    hard_link("a/f", "b/same"); /* again: already the same */
    unpack();
    char target[64] = "";
    ck_assert_int_gt(readlinkat(root, "a/absolute", target, sizeof target), 0);
    ck_assert_str_eq(target, "/etc/passwd");
    ck_assert_uint_eq(look("b/same").st_ino, look("a/f").st_ino);
    ck_assert_uint_eq(look("b/link").st_ino, look("a/absolute").st_ino);
    ck_assert_uint_eq(look("a/f").st_nlink, 2);
    expect_text("b/same", "content");
}
END_TEST

START_TEST(the_last_entry_of_a_name_counts) {
    file("f", "old");
    file("f", "new");
    dir("was_dir/");
    file("was_dir/inner", "x");
    file("was_dir", "now a file");
    file("was_file", "x");
    dir("was_file/");
    symlink_to("was_link", "f");
    file("was_link", "now a file, and f is untouched");
    symlink_to("link_to_dir", "was_file");
    dir("link_to_dir/");
    unpack();
    expect_text("f", "new");
    expect_text("was_dir", "now a file");
    expect_text("was_link", "now a file, and f is untouched");
    ck_assert(S_ISDIR(look("was_file").st_mode));
    ck_assert(S_ISDIR(look("link_to_dir").st_mode));
}
END_TEST

START_TEST(missing_directories_are_made_as_roots) {
    file("x//y/./z", "deep");
    unpack();
    expect_text("x/y/z", "deep");
    ck_assert_uint_eq(look("x/y").st_mode & 07777, 0755);
}
END_TEST

START_TEST(names_are_bytes) {
    /* Decomposed, composed, not UTF-8 at all: three names, none changed. */
    const char *names[] = {"e\xcc\x81", "\xc3\xa9", "bad\xff\xfe", "new\nline"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        tar_pax(&tar, "path", names[i], strlen(names[i]));
        file("ignored", names[i]);
    }
    tar_pax(&tar, "linkpath", "e\xcc\x81\xff", 4);
    symlink_to("link", "ignored");
    unpack();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        expect_text(names[i], names[i]);
    char target[64] = "";
    ck_assert_int_eq(readlinkat(root, "link", target, sizeof target), 4);
    ck_assert_str_eq(target, "e\xcc\x81\xff");
}
END_TEST

START_TEST(pax_times_have_nanoseconds) {
    tar_pax(&tar, "mtime", "1700000000.123456789", 20);
    file("f", "x");
    unpack();
    ck_assert_int_eq(look("f").st_mtim.tv_sec, 1700000000);
    ck_assert_int_eq(look("f").st_mtim.tv_nsec, 123456789);
}
END_TEST

START_TEST(only_harmless_attributes_are_kept) {
    /* linux/capability.h: struct vfs_cap_data, revision 2, cap_net_bind_service=ep */
    static const unsigned char cap[20] = {1, 0, 0, 2, 0, 4};
    struct {
        const char *name;
        bool kept;
    } cases[] = {
        {"security.capability", true},       {"user.note", true},
        {"user.overlay.opaque", false},      {"trusted.overlay.opaque", false},
        {"trusted.overlay.redirect", false}, {"trusted.berth.layer", false},
        {"security.selinux", false},         {"system.posix_acl_access", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char key[80], name[8];
        bool is_cap = str_eq(cases[i].name, "security.capability");
        snprintf(key, sizeof key, "SCHILY.xattr.%s", cases[i].name);
        snprintf(name, sizeof name, "f%zu", i);
        tar_pax(&tar, key, is_cap ? (const void *)cap : "y", is_cap ? sizeof cap : 1);
        tar_add(&tar,
                (struct tar_entry){.name = name, .mode = 04755, .uid = 5, .data = "x", .n = 1});
    }
    unpack();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char name[8], value[64];
        snprintf(name, sizeof name, "f%zu", i);
        _cleanup_(close_fdp) int fd = openat(root, name, O_RDONLY);
        ssize_t n = fgetxattr(fd, cases[i].name, value, sizeof value);
        ck_assert_msg((n > 0) == cases[i].kept, "%s", cases[i].name);
        if (i == 0)
            ck_assert_int_eq(memcmp(value, cap, sizeof cap), 0);
    }
}
END_TEST

START_TEST(sparse_files_keep_their_holes_and_size) {
    /* pax GNU.sparse 1.0: the map, then the data; 64 KiB with 512 bytes at 32768. */
    char data[1024] = "1\n32768\n512\n";
    memset(data + 512, 'S', 512);
    tar_add(&tar, (struct tar_entry){.name = "before", .data = "b", .n = 1});
    struct strbuf attr = {0};
    const char *pairs[][2] = {{"GNU.sparse.major", "1"},
                              {"GNU.sparse.minor", "0"},
                              {"GNU.sparse.name", "sparse"},
                              {"GNU.sparse.realsize", "65536"}};
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        size_t len = strlen(pairs[i][0]) + strlen(pairs[i][1]) + 3;
        len += len + 2 > 99 ? 3 : 2;
        strbuf_printf(&attr, "%zu %s=%s\n", len, pairs[i][0], pairs[i][1]);
    }
    tar_add(&tar, (struct tar_entry){.name = "pax", .type = 'x', .data = attr.p, .n = attr.n});
    strbuf_fini(&attr);
    tar_add(&tar,
            (struct tar_entry){
                .name = "GNUSparseFile.0/sparse", .mode = 0644, .data = data, .n = sizeof data});
    file("after", "a");
    unpack();
    struct stat st = look("sparse");
    ck_assert_int_eq(st.st_size, 65536);
    ck_assert_int_le(st.st_blocks * 512, 16384);
    char have[513] = "";
    _cleanup_(close_fdp) int fd = openat(root, "sparse", O_RDONLY);
    ck_assert_int_eq(pread(fd, have, 512, 32768), 512);
    ck_assert_uint_eq(strspn(have, "S"), 512);
    ck_assert_int_eq(pread(fd, have, 1, 32767), 1);
    ck_assert_int_eq(have[0], 0);
    expect_text("after", "a");
}
END_TEST

START_TEST(block_borders_do_not_matter) {
    char big[30000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = 0;
    const size_t steps[] = {1, 511, 512, 513, 4096, 1 << 20};
    for (size_t i = 0; i < 5; i++) {
        char name[120];
        snprintf(name, sizeof name, "dir%zu/%0100zu", i, i);
        tar_pax(&tar, "path", name, strlen(name));
        file("short", big);
    }
    tar_end(&tar);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct error err = {0};
        step = steps[i];
        ck_assert_msg(unpack_limited(0, 0, &err) == 0, "%s", err.msg);
        char name[120];
        snprintf(name, sizeof name, "dir%zu/%0100zu", i % 5, i % 5);
        expect_text(name, big);
    }
    step = 10000;
}
END_TEST

START_TEST(empty_layers_are_fine) {
    unpack();
    strbuf_clear(&tar);
    struct error err = {0};
    ck_assert_int_eq(unpack_limited(0, 0, &err), 0); /* not even an end */
}
END_TEST

/* --- whiteouts -------------------------------------------------------------------------------- */

START_TEST(whiteouts_hide_lower_layers_only) {
    file("d/.wh.gone", "");
    file("mine_first", "mine");
    file(".wh.mine_first", "");
    file(".wh.mine_later", "");
    file("mine_later", "mine");
    dir("dir_first/");
    file("dir_first/f", "mine");
    file(".wh.dir_first", "");
    file(".wh.dir_later", "");
    dir("dir_later/");
    file(".wh.implied", "");
    file("implied/f", "mine");
    unpack();
    ck_assert(is_whiteout("d/gone"));
    ck_assert_uint_eq(look("d/gone").st_mode & 07777, 0);
    ck_assert(!there("d/.wh.gone"));
    expect_text("mine_first", "mine");
    expect_text("mine_later", "mine");
    expect_text("dir_first/f", "mine");
    ck_assert(is_opaque("dir_first"));
    ck_assert(is_opaque("dir_later"));
    expect_text("implied/f", "mine");
    ck_assert(is_opaque("implied"));
}
END_TEST

START_TEST(opaque_directories_keep_what_this_layer_has) {
    file("d/before", "x");
    file("d/.wh..wh..opq", "");
    file("d/after", "x");
    file("new/.wh..wh..opq", "");
    unpack();
    ck_assert(is_opaque("d") && is_opaque("new"));
    ck_assert(there("d/before") && there("d/after") && !there("d/.wh..wh..opq"));
}
END_TEST

START_TEST(the_root_can_be_opaque) {
    file(".wh..wh..opq", "");
    unpack();
    ck_assert(is_opaque("."));
}
END_TEST

START_TEST(aufs_leftovers_are_dropped_and_their_links_resolved) {
    dir(".wh..wh.plnk/");
    file(".wh..wh.plnk/99.1", "linked");
    hard_link("f", ".wh..wh.plnk/99.1");
    file(".wh..wh.aufs", "");
    dir(".wh..wh.orph/");
    file(".wh..wh.orph/x", "x");
    unpack();
    expect_text("f", "linked");
    ck_assert_uint_eq(look("f").st_nlink, 1);
    ck_assert(!there(".wh..wh.plnk") && !there(".wh..wh.aufs") && !there(".wh..wh.orph"));
}
END_TEST

/* --- what must be refused --------------------------------------------------------------------- */

START_TEST(names_that_lead_out_are_refused) {
    const char *names[] = {"/etc/passwd", "//x", "../canary", "a/../../canary", "a/..", ".."};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        file(names[i], "evil");
        expect_refused(names[i][0] == '/' ? "absolute path" : "\"..\"");
        dir(names[i]);
        expect_refused(names[i]);
    }
    tar_pax(&tar, "path", "../canary", 9);
    file("ok", "evil");
    expect_refused("entry ../canary: path with \"..\"");
    tar_pax(&tar, "path", "/\xff\n\xc3\xa9", 5); /* messages are text, whatever names are */
    file("ok", "evil");
    expect_refused("entry /????: absolute path");
}
END_TEST

START_TEST(links_that_lead_out_are_refused) {
    const char *targets[] = {"..", "../..", "/", "/tmp", "/proc/self/root", "a/../../.."};
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        dir("a/");
        symlink_to("s", targets[i]);
        file("s/canary", "evil");
        expect_refused("through a symbolic link");
        symlink_to("s", targets[i]);
        dir("s/sub/");
        expect_refused("through a symbolic link");
        symlink_to("s", targets[i]);
        hard_link("mine", "s/canary");
        expect_refused("through a symbolic link");
        symlink_to("s", targets[i]);
        file("s/.wh.canary", "");
        expect_refused("through a symbolic link");
        symlink_to("s", targets[i]);
        file("s/.wh..wh..opq", "");
        expect_refused("through a symbolic link");
    }
    hard_link("mine", "/etc/passwd");
    expect_refused("hard link to /etc/passwd: absolute path");
    hard_link("mine", "../canary");
    expect_refused("hard link to ../canary: path with \"..\"");
    hard_link("mine", "nowhere");
    expect_refused("not in this layer");
    dir("a/");
    hard_link("mine", "a");
    expect_refused("not a file");
}
END_TEST

START_TEST(a_link_within_the_layer_is_followed) {
    dir("usr/lib/");
    symlink_to("lib", "usr/lib");
    symlink_to("usr/up", "../usr/lib");
    file("lib/x", "x");
    file("usr/up/y", "y");
    symlink_to("file", "usr/lib/x");
    file("file", "replaced, not written through");
    unpack();
    expect_text("usr/lib/x", "x");
    expect_text("usr/lib/y", "y");
    ck_assert(S_ISREG(look("file").st_mode));
    symlink_to("loop", "loop");
    strbuf_clear(&tar);
    symlink_to("loop", "loop");
    file("loop/x", "x");
    expect_refused("symbolic link");
}
END_TEST

START_TEST(devices_are_refused) {
    tar_add(&tar, (struct tar_entry){.name = "null", .type = '3', .major = 1, .minor = 3});
    expect_refused("entry null: is a device node (character 1:3)");
    tar_add(&tar, (struct tar_entry){.name = "sda", .type = '4', .major = 8});
    expect_refused("entry sda: is a device node (block 8:0)");
    tar_add(&tar, (struct tar_entry){.name = "wh", .type = '3'});
    expect_refused("is a device node (character 0:0)");
}
END_TEST

START_TEST(odd_whiteouts_are_refused) {
    const char *names[] = {".wh.", ".wh..", ".wh...", "a/.wh.x/y"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        file(names[i], "");
        expect_refused("malformed whiteout");
    }
}
END_TEST

START_TEST(too_much_is_refused) {
    char text[2000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 1001; i++)
        file("f", "");
    expect_refused_as(-EFBIG, "more than the 1000 entries");
    tar_add(&tar, (struct tar_entry){.name = "huge", .claimed = 1ull << 32});
    expect_refused_as(-EFBIG, "larger than the 1048576 bytes");
    for (int i = 0; i < 600; i++)
        tar_add(&tar, (struct tar_entry){.name = "f", .data = text, .n = sizeof text});
    expect_refused_as(-EFBIG, "larger than the 1048576 bytes");
    tar_pax(&tar, "GNU.sparse.size", "9000000000000000000", 19);
    tar_add(&tar, (struct tar_entry){.name = "sparse"});
    expect_refused_as(-EFBIG, "larger than");
    memset(text, 'n', 300);
    tar_pax(&tar, "path", text, 300);
    file("f", "");
    expect_refused("too long");
    for (size_t i = 0; i < 1000; i++)
        memcpy(text + 2 * i, "d/", 2);
    tar_pax(&tar, "path", text, 2000);
    file("f", "");
    expect_refused("too deep");
}
END_TEST

START_TEST(memory_for_names_is_bounded) {
    char path[3850];
    memset(path, 'n', sizeof path);
    for (size_t i = 250; i < sizeof path; i += 251)
        path[i] = '/';
    strbuf_clear(&tar);
    tar_pax(&tar, "path", path, sizeof path);
    dir("d");
    _cleanup_(strbuf_fini) struct strbuf one = tar;
    tar = (struct strbuf){0};
    for (size_t n = 0; n < (70u << 20); n += sizeof path)
        strbuf_add(&tar, one.p, one.n);
    tar_end(&tar);
    struct error err = {0};
    ck_assert_int_eq(unpack_limited(0, 0, &err), -EFBIG);
    ck_assert_msg(strstr(err.msg, "names of the layer's directories"), "%s", err.msg);
}
END_TEST

START_TEST(headers_are_bounded) {
    _cleanup_(strbuf_fini) struct strbuf value = {0};
    while (value.n < (2u << 20))
        strbuf_puts(&value, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    tar_pax(&tar, "comment", value.p, value.n);
    file("f", "x");
    expect_refused("");
    for (int i = 0; i < 100000; i++) /* headers about headers about headers ... */
        tar_pax(&tar, "comment", "x", 1);
    file("f", "x");
    expect_refused("");
    /* An old GNU sparse file whose map never ends: extension blocks that announce another one. */
    tar_add(&tar, (struct tar_entry){.name = "sparse", .type = 'S'});
    memcpy(tar.p + 257, "ustar  ", 8);
    memset(tar.p + 386, '0', 24); /* a first piece, without which the rest is not looked at */
    tar.p[482] = 1;
    unsigned sum = 0;
    memset(tar.p + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)tar.p[i];
    snprintf(tar.p + 148, 8, "%06o", sum);
    char block[512];
    memset(block, '0', sizeof block);
    block[504] = 1;
    while (tar.n < (12u << 20))
        strbuf_add(&tar, block, sizeof block);
    expect_refused("headers of an entry are too large");
}
END_TEST

START_TEST(malformed_archives_are_refused) {
    strbuf_puts(&tar, "this is not a tar archive at all, but some text that is long enough");
    expect_refused("malformed tar archive");
    file("f", "x");
    tar.p[3] ^= 1; /* the checksum does not fit any more */
    expect_refused("malformed tar archive");
    file("good", "x");
    file("bad", "x");
    tar.p[1024 + 100] ^= 1;
    expect_refused("malformed tar archive");
    tar_add(&tar, (struct tar_entry){.name = "cut", .data = "x", .n = 1, .claimed = 100000});
    struct error err = {0};
    ck_assert_int_eq(unpack_limited(1 << 20, 1000, &err), -EBADMSG);
}
END_TEST

static ssize_t endless(void *data, const void **block, struct error *err) {
    volatile bool *stop = data;
    static char zeros[512];
    *block = zeros;
    *stop = at++ > 1000;
    return sizeof zeros;
}

START_TEST(stopping_stops) {
    volatile bool stop = false;
    struct unpack_order order = {
        .root = root, .next = endless, .data = (void *)&stop, .stop = &stop};
    struct unpack_result made;
    struct error err = {0};
    at = 0;
    ck_assert_int_eq(unpack_layer(&order, &made, &err), -ECANCELED);
}
END_TEST

START_TEST(random_damage_never_escapes) {
    file("a/f", "content");
    symlink_to("a/l", "f");
    hard_link("b", "a/f");
    file(".wh.x", "");
    tar_pax(&tar, "SCHILY.xattr.user.x", "y", 1);
    dir("c/");
    tar_end(&tar);
    struct rng rng = {1};
    for (int i = 0; i < 2000; i++) {
        struct error err = {0};
        size_t where = rng_below(&rng, tar.n);
        char was = tar.p[where];
        tar.p[where] = (char)rng_next(&rng);
        int r = unpack_limited(1 << 20, 1000, &err);
        ck_assert_msg(r == 0 || r == -EBADMSG || r == -EFBIG, "%d %s", r, err.msg);
        tar.p[where] = was;
    }
}
END_TEST

int main(void) {
    if (geteuid() != 0) {
        puts("image/unpack: skipped, owners and whiteouts need root");
        return 77;
    }
    Suite *suite = suite_create("image/unpack");
    TCase *tcase = tcase_create("unpack");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    const TTest *const tests[] = {
        owners_modes_and_times_are_exact,
        links_are_links,
        the_last_entry_of_a_name_counts,
        missing_directories_are_made_as_roots,
        names_are_bytes,
        pax_times_have_nanoseconds,
        only_harmless_attributes_are_kept,
        sparse_files_keep_their_holes_and_size,
        block_borders_do_not_matter,
        empty_layers_are_fine,
        whiteouts_hide_lower_layers_only,
        opaque_directories_keep_what_this_layer_has,
        the_root_can_be_opaque,
        aufs_leftovers_are_dropped_and_their_links_resolved,
        names_that_lead_out_are_refused,
        links_that_lead_out_are_refused,
        a_link_within_the_layer_is_followed,
        devices_are_refused,
        odd_whiteouts_are_refused,
        too_much_is_refused,
        memory_for_names_is_bounded,
        headers_are_bounded,
        malformed_archives_are_refused,
        stopping_stops,
        random_damage_never_escapes,
    };
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
