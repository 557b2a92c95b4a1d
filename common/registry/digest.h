/* digest.h - "sha256:<64 hex>", the only digest algorithm that Berth takes. */
#ifndef COMMON_REGISTRY_DIGEST_H
#define COMMON_REGISTRY_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_SIZE 72 /* "sha256:", 64 hex digits, NUL */

bool digest_is_valid(const char *text); /* lower case only, as the OCI image spec says */
void digest_format(const unsigned char sha256[static 32], char buf[static DIGEST_SIZE]);
/* Of n bytes. 0 or -ENOMEM. */
int digest_of(const void *p, size_t n, char buf[static DIGEST_SIZE]);

#endif
