/*
 * api.h - what the library's objects are inside.
 */
#ifndef UF_PAGER_API_H
#define UF_PAGER_API_H

#include <pthread.h>

#include <userfault/pager.h>

#include "pager/engine.h"

struct uf_pager {
	struct engine *e;
	pthread_t thread;
	struct trace_file *trace;
	size_t trace_size;
	int trace_fd;
	void (*log)(void *arg, int level, const char *text);
	void *log_arg;
	pthread_mutex_t lock;
	struct uf_paged *paged;	   /* all there are */
	struct uf_source *sources; /* all there are */
};

struct uf_source {
	struct uf_source *next;
	struct uf_pager *pager;
	struct source *s;
	unsigned users; /* on the engine's thread */
};

struct uf_paged {
	struct uf_paged *next;
	struct uf_pager *pager;
	struct uf_source *source;
	bool own_source; /* it is closed along with this */
	struct guest *g; /* NULL: it has ended. On the engine's thread */
	const struct uffd_ops *ops;
	void *addr; /* of our own memory, or NULL */
	size_t len;
	struct uf_paged_stats last; /* when it ended */
	struct wait *waits;
};

/* Has fn run on the pager's thread, and returns what it returns. */
int pager_call(struct uf_pager *pager, int (*fn)(void *arg), void *arg);
/* A source that is open already becomes the pager's. */
int pager_source(struct uf_pager *pager, struct source *s, struct uf_source **out);
/* As uf_pager_map; own_source: closes it with the memory. */
int pager_map(struct uf_pager *pager, struct uf_source *source, bool own_source, uint64_t offset,
	      size_t len, const struct uf_paged_options *options, void **addr,
	      struct uf_paged **paged);
/* -EBUSY if the pager serves some of this memory, which then cannot be saved or sent. */
int pager_not_served(struct uf_pager *pager, const void *addr, size_t len);

#endif
