#include <sys/utsname.h>

#include "common/base/mem.h"
#include "common/registry/document.h"

static const char *const any[] = {"", NULL};
static const char *const amd64[] = {"", "v1", NULL}; /* v2 and up may need what the CPU has not */
static const char *const arm64[] = {"v8", "", NULL};
static const char *const arm_v7[] = {"v7", "", "v6", "v5", NULL};
static const char *const arm_v6[] = {"v6", "v5", NULL};

/* uname's machine -> GOARCH, which images use (OCI image index specification). */
static const struct {
    const char *machine;
    struct platform platform;
} machines[] = {
    {"x86_64", {"amd64", amd64}},      {"aarch64", {"arm64", arm64}}, {"armv8l", {"arm", arm_v7}},
    {"armv7l", {"arm", arm_v7}},       {"armv6l", {"arm", arm_v6}},   {"i686", {"386", any}},
    {"ppc64le", {"ppc64le", any}},     {"s390x", {"s390x", any}},     {"riscv64", {"riscv64", any}},
    {"loongarch64", {"loong64", any}},
};

struct platform platform_of(const char *machine) {
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
        if (str_eq(machines[i].machine, machine))
            return machines[i].platform;
    return (struct platform){machine, any};
}

struct platform platform_host(void) {
    static struct utsname host; /* the same for every caller */
    uname(&host);
    return platform_of(host.machine);
}
