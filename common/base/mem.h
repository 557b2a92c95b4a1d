/* mem.h - allocation, scope guards and the transfer of ownership.
 *
 * Every owned local is declared with a guard and given away with TAKE_PTR / TAKE_FD, so that a
 * transfer is visible in the text. A module whose type has x_free() writes DEFINE_FREEP(x) next to
 * it to get x_freep for _cleanup_. Running out of memory is -ENOMEM, never abort(). */
#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _unused_      __attribute__((unused))

/* Gives the pointer (descriptor) away: the variable forgets it, so its guard does nothing. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *take_addr_ = &(p);                                                          \
        __typeof__(p) take_val_ = *take_addr_;                                                     \
        *take_addr_ = NULL;                                                                        \
        take_val_;                                                                                 \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *take_addr_ = &(fd);                                                                   \
        int take_val_ = *take_addr_;                                                               \
        *take_addr_ = -1;                                                                          \
        take_val_;                                                                                 \
    })

#define DEFINE_FREEP(name)                                                                         \
    static inline void name##_freep(struct name **p) {                                             \
        name##_free(*p);                                                                           \
    }

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)        (1u << (n))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* Zeroed memory of n bytes (n members of `size`), or NULL. Free with free(). */
void *mem_zalloc(size_t n);
void *mem_calloc(size_t n, size_t size);
/* realloc() to n members of `size`, overflow-checked; on NULL the old block stays valid. */
void *mem_resize(void *p, size_t n, size_t size);
void *mem_dup(const void *p, size_t n);

/* Guards for _cleanup_: freep for anything from malloc(); close_fdp for a descriptor (-1 is fine).
 * Both keep errno. */
void freep(void *pp);
void close_fdp(const int *fd);

/* Overwrites a secret in a way the compiler cannot drop. */
void mem_wipe(void *p, size_t n);

#endif
