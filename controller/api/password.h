/* password.h - scrypt (RFC 7914): what is stored for a password, and checking one. Both block for
 * tens of milliseconds: on a worker, never on the loop. */
#ifndef CONTROLLER_API_PASSWORD_H
#define CONTROLLER_API_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

#define PASSWORD_MAX 1024 /* bytes */

/* "scrypt$N$r$p$<salt>$<hash>" (hex), owned. `fast`: for tests only. -EINVAL: too long. */
int password_hash(const char *password, bool fast, char **ret, struct error *err);
/* In time that depends on the stored parameters alone. `stored` NULL or malformed: takes as long as
 * a usual one, and is false. */
bool password_verify(const char *password, const char *stored);

#endif
