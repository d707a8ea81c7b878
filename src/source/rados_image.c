/*
 * rados_image.c - images in a Ceph cluster: their names, their headers, and the way to the cluster.
 */
#include "source/rados.h"
#include "source/util.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "headers are read as they are");
_Static_assert(sizeof(struct rados_header) == 56, "a header has no padding");

void rados_object_name(char name[RADOS_NAME_MAX], const struct rados_image *m, uint64_t generation,
		       uint64_t object)
{
	snprintf(name, RADOS_NAME_MAX, "%s.%016llx.%016llx", m->name,
		 (unsigned long long)generation, (unsigned long long)object);
}

static void header_name(char name[RADOS_NAME_MAX], const struct rados_image *m)
{
	snprintf(name, RADOS_NAME_MAX, "%s.header", m->name);
}

uint32_t rados_chunk_sum(const void *buf, size_t len)
{
	uint32_t sum = (uint32_t)XXH3_64bits(buf, len);

	return sum ? sum : 1;
}

/* ---- what it is called
 */

/* "rados:POOL/IMAGE[?name=value[&...]]" */
struct rados_name {
	char *pool, *image, *conf, *user, *namespace;
};

static void free_name(struct rados_name *n)
{
	free(n->pool);
	free(n->image);
	free(n->conf);
	free(n->user);
	free(n->namespace);
}

static int parse_query(struct rados_name *n, char *query, char *why, size_t why_size)
{
	char *rest, *at = strtok_r(query, "&", &rest);

	for (; at; at = strtok_r(NULL, "&", &rest)) {
		char *value = strchr(at, '=');
		char **field = NULL;

		if (value)
			*value++ = 0;
		if (!strcmp(at, "conf"))
			field = &n->conf;
		else if (!strcmp(at, "id"))
			field = &n->user;
		else if (!strcmp(at, "namespace"))
			field = &n->namespace;
		if (!field || !value)
			return source_why(why, why_size, -EINVAL,
					  "after rados:POOL/IMAGE? come conf=FILE, id=USER and "
					  "namespace=NAME, joined by &; not %s",
					  at);
		free(*field);
		*field = strdup(value);
	}
	return 0;
}

static char *option(const struct source_env *env, const char *name)
{
	const char *value = source_option(env, name);

	return value ? strdup(value) : NULL;
}

static int parse_name(struct rados_name *n, const char *spec, const struct source_env *env,
		      char *why, size_t why_size)
{
	const char *at = strchr(spec, ':') + 1;
	const char *query = at + strcspn(at, "?");
	const char *slash = memchr(at, '/', (size_t)(query - at));
	char *copy;
	int r;

	if (!slash || slash == at || slash + 1 == query || query - slash > 200)
		return source_why(why, why_size, -EINVAL,
				  "%s does not name an image: rados:POOL/IMAGE[?conf=FILE]", spec);
	n->pool = strndup(at, (size_t)(slash - at));
	n->image = strndup(slash + 1, (size_t)(query - slash - 1));
	n->conf = option(env, "conf");
	n->user = option(env, "id");
	n->namespace = option(env, "namespace");
	if (!*query)
		return 0;
	copy = strdup(query + 1);
	r = copy ? parse_query(n, copy, why, why_size) : -ENOMEM;
	free(copy);
	return r;
}

/* ---- the way there
 */

/* What holds unless the configuration says something else. */
static const char *const settings[][2] = {
	{"client_mount_timeout", "10"},
	{"rados_mon_op_timeout", "10"},
	{"rados_osd_op_timeout", "10"},
	/* A library has nothing to print, and no sockets to leave behind. */
	{"log_to_stderr", "false"},
	{"err_to_stderr", "false"},
	{"log_file", ""},
	{"admin_socket", ""},
};

#define SETTINGS     (sizeof(settings) / sizeof(settings[0]))
#define SETTING_SIZE 256

static void get_settings(rados_t cluster, char value[SETTINGS][SETTING_SIZE])
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (rados_conf_get(cluster, settings[i][0], value[i], SETTING_SIZE) < 0)
			value[i][0] = 0;
}

static int configure(rados_t cluster, const struct rados_name *n, char *why, size_t why_size)
{
	char before[SETTINGS][SETTING_SIZE], after[SETTINGS][SETTING_SIZE], timeout[32];
	int r;

	get_settings(cluster, before);
	r = rados_conf_read_file(cluster, n->conf);
	if (r < 0 && n->conf)
		return source_why(why, why_size, r, "the Ceph configuration %s cannot be read: %s",
				  n->conf, strerror(-r));
	if (r < 0 && r != -ENOENT)
		return source_why(why, why_size, r, "the Ceph configuration cannot be read: %s",
				  strerror(-r));
	/* What is set by a program has precedence over files, so it comes after them. */
	get_settings(cluster, after);
	for (size_t i = 0; i < SETTINGS; i++)
		if (!strcmp(before[i], after[i]))
			rados_conf_set(cluster, settings[i][0], settings[i][1]);
	/*
	 * Without a limit librados lets the network write to a request's memory, even after it was
	 * canceled.
	 */
	if (rados_conf_get(cluster, "rados_osd_op_timeout", timeout, sizeof(timeout)) < 0 ||
	    strtod(timeout, NULL) <= 0)
		rados_conf_set(cluster, "rados_osd_op_timeout", "60");
	return 0;
}

static int connect_to(struct rados_image *m, const struct rados_name *n, char *why, size_t why_size)
{
	const char *user = n->user ? n->user : "admin";
	const char *conf = n->conf ? n->conf : "/etc/ceph/ceph.conf";
	int r = rados_connect(m->cluster);
	char hosts[8];

	if (r < 0 && rados_conf_get(m->cluster, "mon_host", hosts, sizeof(hosts)) == 0 && !*hosts)
		return source_why(why, why_size, r,
				  "the Ceph cluster is not known: %s names no monitor (mon_host); "
				  "another configuration is given with ?conf=FILE",
				  conf);
	if (r == -EACCES || r == -EPERM)
		return source_why(
			why, why_size, r,
			"the Ceph cluster refuses client.%s: %s (is its key in the keyring "
			"that the configuration names?)",
			user, strerror(-r));
	if (r == -ETIMEDOUT)
		return source_why(
			why, why_size, r,
			"no Ceph monitor answers: is the cluster up, and does %s name its "
			"monitors?",
			conf);
	if (r < 0)
		return source_why(why, why_size, r, "the Ceph cluster cannot be reached: %s",
				  strerror(-r));
	r = rados_ioctx_create(m->cluster, m->pool, &m->io);
	if (r < 0)
		return source_why(why, why_size, r,
				  r == -ENOENT ? "the Ceph cluster has no pool %s"
					       : "the Ceph pool %s cannot be opened",
				  m->pool);
	if (n->namespace)
		rados_ioctx_set_namespace(m->io, n->namespace);
	return 0;
}

int rados_image_open(struct rados_image *m, const char *spec, const struct source_env *env,
		     char *why, size_t why_size)
{
	struct rados_name n = {0};
	int r = parse_name(&n, spec, env, why, why_size);

	memset(m, 0, sizeof(*m));
	m->pool = n.pool;
	m->name = n.image;
	n.pool = n.image = NULL;
	if (!r) {
		r = rados_create(&m->cluster, n.user);
		if (r < 0)
			source_why(why, why_size, r, "librados cannot be started: %s",
				   strerror(-r));
		else
			r = configure(m->cluster, &n, why, why_size);
	}
	if (!r)
		r = connect_to(m, &n, why, why_size);
	free_name(&n);
	if (r < 0)
		rados_image_close(m);
	return r;
}

void rados_image_close(struct rados_image *m)
{
	if (m->io)
		rados_ioctx_destroy(m->io);
	if (m->cluster)
		rados_shutdown(m->cluster);
	free(m->word);
	free(m->pool);
	free(m->name);
	memset(m, 0, sizeof(*m));
}

/* ---- the header
 */

static uint64_t header_sum(const struct rados_header *h, const uint32_t *word)
{
	struct rados_header copy = *h;
	uint64_t words = XXH3_64bits(word, h->chunks * sizeof(*word));

	copy.sum = 0;
	return XXH3_64bits_withSeed(&copy, sizeof(copy), words);
}

static bool is_power(uint64_t n)
{
	return n && !(n & (n - 1));
}

static const char *what_is_wrong(const struct rados_header *h)
{
	if (h->magic != RADOS_MAGIC)
		return "is not one of Userfault's";
	if (h->version != RADOS_VERSION)
		return "was written by a newer version";
	if (!is_power(h->chunk) || h->chunk < SOURCE_PAGE || h->chunk > (2u << 20) ||
	    !is_power(h->object_size) || h->object_size < h->chunk || !h->size ||
	    h->size > RADOS_SIZE_MAX || h->chunks != (h->size + h->chunk - 1) / h->chunk)
		return "is damaged";
	return NULL;
}

/* All that is there, up to len. */
static int read_object(struct rados_image *m, const char *name, void *buf, size_t len,
		       uint64_t offset)
{
	size_t at = 0;

	while (at < len) {
		int r = rados_read(m->io, name, (char *)buf + at, len - at, offset + at);

		if (r <= 0)
			return r < 0 ? r : -ENODATA;
		at += (size_t)r;
	}
	return 0;
}

int rados_image_load(struct rados_image *m, char *why, size_t why_size)
{
	struct rados_header *h = &m->header;
	char name[RADOS_NAME_MAX];
	const char *wrong;
	int r;

	header_name(name, m);
	r = read_object(m, name, h, sizeof(*h), 0);
	if (r == -ENOENT)
		return source_why(why, why_size, r, "the Ceph pool %s has no image %s", m->pool,
				  m->name);
	if (r < 0 && r != -ENODATA)
		return source_why(why, why_size, r, "%s cannot be read from the Ceph pool %s: %s",
				  name, m->pool, strerror(-r));
	wrong = r ? "is damaged" : what_is_wrong(h);
	if (wrong)
		return source_why(why, why_size, -EINVAL, "the image %s in the Ceph pool %s %s",
				  m->name, m->pool, wrong);
	free(m->word);
	m->word = malloc(h->chunks * sizeof(*m->word));
	if (!m->word)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	r = read_object(m, name, m->word, h->chunks * sizeof(*m->word), sizeof(*h));
	if (r < 0 || header_sum(h, m->word) != h->sum)
		return source_why(why, why_size, r < 0 && r != -ENODATA ? r : -EBADMSG,
				  "the header of the image %s in the Ceph pool %s is damaged",
				  m->name, m->pool);
	return 0;
}

int rados_image_save(struct rados_image *m)
{
	struct rados_header *h = &m->header;
	size_t words = h->chunks * sizeof(*m->word);
	char name[RADOS_NAME_MAX];
	char *all = malloc(sizeof(*h) + words);
	int r;

	if (!all)
		return -ENOMEM;
	header_name(name, m);
	h->sum = header_sum(h, m->word);
	memcpy(all, h, sizeof(*h));
	memcpy(all + sizeof(*h), m->word, words);
	r = rados_write_full(m->io, name, all, sizeof(*h) + words);
	free(all);
	return r < 0 ? r : 0;
}

void rados_image_remove_objects(struct rados_image *m, uint64_t generation, const uint32_t *word,
				uint64_t chunks)
{
	uint64_t each = m->header.object_size / m->header.chunk;
	char name[RADOS_NAME_MAX];

	for (uint64_t first = 0; first < chunks; first += each) {
		bool stored = false;

		for (uint64_t i = first; i < first + each && i < chunks; i++)
			stored |= word[i] != 0;
		if (!stored)
			continue;
		rados_object_name(name, m, generation, first / each);
		rados_remove(m->io, name);
	}
}
