/*
 * list.c - which kind of source a name means, and where the kinds are that come as modules.
 */
#include "list.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Files are asked about in this order; the last is any file's. */
static const struct source_ops *const kinds[] = {&source_packed, &source_raw};

/* Those that need libraries which not everybody has. */
static const struct module {
	const char *name;
	const char *const *schemes;
	const char *needs;
} modules[] = {
	{"nbd",
	 (const char *const[]){
		 "nbd:", "nbds:", "nbd+unix:", "nbds+unix:", "nbd+vsock:", "nbds+vsock:", NULL},
	 "libnbd"},
	{"rados", (const char *const[]){"rados:", NULL}, "librados"},
};

static bool begins_with_one_of(const char *spec, const char *const *schemes)
{
	for (; *schemes; schemes++) {
		if (strncmp(spec, *schemes, strlen(*schemes)) == 0)
			return true;
	}
	return false;
}

/* ---- modules
 */

static void *load_from(const char *dir, const char *name, char *why, size_t why_size)
{
	char path[PATH_MAX];
	void *handle;

	if (!dir || !*dir ||
	    snprintf(path, sizeof(path), "%s/source-%s.so", dir, name) >= (int)sizeof(path) ||
	    access(path, R_OK) != 0)
		return NULL;
	/* Once loaded it stays: its threads may outlive any one source. */
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!handle)
		source_why(why, why_size, 0, "%s", dlerror());
	return handle;
}

/* The directory of the library, or the program, that this is part of. */
static const char *own_directory(char dir[PATH_MAX])
{
	Dl_info info;
	char *slash;

	if (!dladdr((const void *)kinds, &info) || !info.dli_fname ||
	    !realpath(strchr(info.dli_fname, '/') ? info.dli_fname : "/proc/self/exe", dir))
		return NULL;
	slash = strrchr(dir, '/');
	*slash = 0;
	return dir;
}

/* Next to it, or from there where an installed tree has them, wherever that has been moved to. */
static void *load_beside(const char *name, char *why, size_t why_size)
{
	static const char *const places[] = {"", "/userfault", UF_MODULE_RELATIVE};
	char own[PATH_MAX], dir[PATH_MAX + 256];
	void *handle = NULL;

	if (!own_directory(own))
		return NULL;
	for (size_t i = 0; i < COUNT(places) && !handle; i++) {
		snprintf(dir, sizeof(dir), "%s%s", own, places[i]);
		handle = load_from(dir, name, why, why_size);
	}
	return handle;
}

static int load(const struct module *m, const struct source_ops **out, char *why, size_t why_size)
{
	char reason[200] = "it is not there";
	const char *named = secure_getenv("USERFAULT_MODULES");
	const struct source_ops *const *ops;
	const uint32_t *version;
	void *handle = load_from(named, m->name, reason, sizeof(reason));

	if (!handle)
		handle = load_beside(m->name, reason, sizeof(reason));
	if (!handle)
		handle = load_from(UF_MODULE_DIR, m->name, reason, sizeof(reason));
	if (!handle)
		return source_why(why, why_size, -ENOENT,
				  "%s: needs the module source-%s.so, which is built with %s and "
				  "belongs into %s: %s",
				  m->name, m->name, m->needs, UF_MODULE_DIR, reason);
	version = dlsym(handle, "userfault_source_version");
	ops = dlsym(handle, "userfault_source");
	if (!version || !ops || *version != SOURCE_VERSION)
		return source_why(why, why_size, -EINVAL,
				  "%s: the module source-%s.so belongs to another version of "
				  "Userfault; install both from one",
				  m->name, m->name);
	*out = *ops;
	return 0;
}

/* ---- names
 */

/* By scheme or, for those who write, by the name of the kind. *out NULL: neither. */
static int find(const char *spec, const char *kind, const struct source_ops **out, char *why,
		size_t why_size)
{
	*out = NULL;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (kind ? strcmp(kinds[i]->name, kind) == 0
			 : begins_with_one_of(spec, kinds[i]->schemes)) {
			*out = kinds[i];
			return 0;
		}
	}
	for (size_t i = 0; i < COUNT(modules); i++) {
		if (kind ? strcmp(modules[i].name, kind) == 0
			 : begins_with_one_of(spec, modules[i].schemes))
			return load(&modules[i], out, why, why_size);
	}
	return 0;
}

/* Does it look as if it had a scheme? */
static int scheme_of(const char *spec)
{
	int n = 0;

	while (isalnum((unsigned char)spec[n]) || spec[n] == '+' || spec[n] == '-')
		n++;
	return n && spec[n] == ':' ? n : 0;
}

static int find_file(const char *spec, const struct source_ops **out, char *why, size_t why_size)
{
	/* A FIFO would be waited for. */
	int fd = open(spec, O_RDONLY | O_CLOEXEC | O_NONBLOCK), scheme;

	if (fd < 0) {
		int error = errno;

		scheme = error == ENOENT ? scheme_of(spec) : 0;
		if (scheme)
			return source_why(why, why_size, -ENOENT,
					  "there is no file %s, and no kind of source is called "
					  "'%.*s:'; there are raw:, packed:, nbd:, nbd+unix: and "
					  "rados:",
					  spec, scheme, spec);
		return source_why(why, why_size, -error, "%s cannot be opened: %s", spec,
				  strerror(error));
	}
	for (size_t i = 0; i < COUNT(kinds) && !*out; i++) {
		if (kinds[i]->probe(spec, fd))
			*out = kinds[i];
	}
	close(fd);
	return 0;
}

int source_open(const char *spec, const struct source_env *env, struct source **out, char *why,
		size_t why_size)
{
	static const struct source_env nothing;
	const struct source_ops *ops;
	int error;

	if (strlen(spec) >= sizeof(((struct source *)0)->spec))
		return source_why(why, why_size, -ENAMETOOLONG,
				  "the name of the source is longer "
				  "than 511 bytes");
	error = find(spec, NULL, &ops, why, why_size);
	if (!error && !ops)
		error = find_file(spec, &ops, why, why_size);
	return error ? error : ops->open(spec, env ? env : &nothing, out, why, why_size);
}

void source_close(struct source *s)
{
	if (s)
		s->ops->close(s);
}

int source_create(const char *spec, const char *kind, uint64_t size, const struct source_env *env,
		  struct source_writer **out, char *why, size_t why_size)
{
	static const struct source_env nothing;
	const struct source_ops *ops;
	int error = find(spec, NULL, &ops, why, why_size);

	if (!error && !ops)
		error = find(spec, kind ? kind : "packed", &ops, why, why_size);
	else if (!error && kind && strcmp(ops->name, kind) != 0)
		return source_why(why, why_size, -EINVAL, "%s names a source of kind %s, not %s",
				  spec, ops->name, kind);
	if (error)
		return error;
	if (!ops)
		return source_why(why, why_size, -EINVAL,
				  "no kind of source is called '%s'; there are packed, raw, nbd "
				  "and rados",
				  kind ? kind : "packed");
	if (!ops->writer)
		return source_why(why, why_size, -EROFS, "a source of kind %s cannot be written",
				  ops->name);
	return ops->writer->create(spec, size, env ? env : &nothing, out, why, why_size);
}

bool source_error_lasts(int error)
{
	switch (error) {
	case -EBADMSG: /* what is there is not what was written */
	case -ENODATA: /* it ends before */
	case -EINVAL:
	case -ERANGE:
	case -ENOENT:
	case -EACCES:
	case -EPERM:
	case -EISDIR:
	case -EOPNOTSUPP:
	case -EPROTO:
	case -EFBIG:
	case -EOVERFLOW:
		return true;
	default:
		return false;
	}
}
