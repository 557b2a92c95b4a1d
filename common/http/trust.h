/* trust.h - the authorities that may vouch for a server: the system's, and those of one more file.
 *
 * Stores are kept for the process and shared by connections and threads: reading a system's bundle
 * for each connection would cost more than the handshake. A changed file is noticed at the next
 * use, a change of the system's authorities within ten minutes. */
#ifndef COMMON_HTTP_TRUST_H
#define COMMON_HTTP_TRUST_H

#include <openssl/types.h>

#include "common/base/error.h"

/* A reference to the store for `ca_file` (PEM; NULL: the system's only), for X509_STORE_free().
 * -ENOENT or -EINVAL when the file cannot be read or holds no certificate. Thread-safe. */
int trust_store(const char *ca_file, X509_STORE **ret, struct error *err);

#endif
