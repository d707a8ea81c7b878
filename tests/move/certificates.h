/*
 * certificates.h - certificates for a test: two signed by one authority, and a stranger's.
 */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <userfault/pager.h>

struct certificates {
	char dir[64];
	char path[4][2][128]; /* authority, one, two, stranger: certificate, key */
};

void certificates_make(struct certificates *c);
/* "one", "two", "stranger". */
struct uf_tls certificates_tls(const struct certificates *c, const char *name);
void certificates_remove(struct certificates *c);

#endif
