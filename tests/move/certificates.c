/*
 * certificates.c - keys and certificates in a directory of their own.
 */
#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "move.h"

static const char *const names[] = {"authority", "one", "two", "stranger"};

static X509 *certify(EVP_PKEY *key, const char *name, X509 *signer, EVP_PKEY *signing_key,
		     int number)
{
	char host[64];
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), number);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(x, X509_get_subject_name(signer ? signer : x));
	X509V3_set_ctx(&context, signer ? signer : x, x, NULL, NULL, 0);
	snprintf(host, sizeof(host), "DNS:%s", name);
	extension = X509V3_EXT_conf_nid(NULL, &context,
					signer ? NID_subject_alt_name : NID_basic_constraints,
					signer ? host : "critical,CA:TRUE");
	CHECK(extension && X509_add_ext(x, extension, -1));
	X509_EXTENSION_free(extension);
	CHECK(X509_sign(x, signing_key, EVP_sha256()));
	return x;
}

static void save(const char *path, X509 *x, EVP_PKEY *key)
{
	FILE *file = fopen(path, "w");

	CHECK(file);
	CHECK(x ? PEM_write_X509(file, x)
		: PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
	CHECK(fclose(file) == 0);
}

void certificates_make(struct certificates *c)
{
	X509 *x[4];
	EVP_PKEY *key[4];

	snprintf(c->dir, sizeof(c->dir), "/tmp/certificates-XXXXXX");
	CHECK(mkdtemp(c->dir));
	for (int i = 0; i < 4; i++) {
		int by = i == 1 || i == 2 ? 0 : i;

		for (int j = 0; j < 2; j++)
			snprintf(c->path[i][j], sizeof(c->path[i][j]), "%s/%s.%s", c->dir, names[i],
				 j ? "key" : "pem");
		key[i] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
		CHECK(key[i]);
		x[i] = certify(key[i], names[i], by == i ? NULL : x[by], key[by], i + 1);
		save(c->path[i][0], x[i], NULL);
		save(c->path[i][1], NULL, key[i]);
	}
	for (int i = 0; i < 4; i++) {
		X509_free(x[i]);
		EVP_PKEY_free(key[i]);
	}
}

struct uf_tls certificates_tls(const struct certificates *c, const char *name)
{
	int i = 1;

	while (strcmp(names[i], name) != 0)
		i++;
	return (struct uf_tls){
		.certificate = c->path[i][0], .key = c->path[i][1], .ca = c->path[0][0]};
}

void certificates_remove(struct certificates *c)
{
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 2; j++)
			unlink(c->path[i][j]);
	}
	CHECK(rmdir(c->dir) == 0);
}
