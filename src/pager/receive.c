/*
 * receive.c - the side of a move that memory comes to: memory like any other that is paged, from a
 * source that is the other process.
 */
#include <errno.h>
#include <stdio.h>

#include "pager/api.h"
#include "pager/library.h"
#include "pager/peer.h"

int uf_pager_receive(struct uf_pager *pager, int socket, const struct uf_tls *tls,
		     const struct uf_paged_options *options, void **addr, size_t *len,
		     struct uf_paged **paged)
{
	struct uf_source *source;
	struct source *s;
	char why[256];
	int error;

	/* A page that left again could not be had a second time. */
	if (options && options->size >= offsetof(struct uf_paged_options, spill) && options->limit)
		return library_fail(-EINVAL, "memory that is received cannot have a limit");
	error = peer_open(socket, tls, &s, why, sizeof(why));
	if (error)
		return library_fail(error, "uf_pager_receive: %s", why);
	error = pager_source(pager, s, &source);
	if (error)
		return error;
	error = pager_map(pager, source, true, 0, s->size, options, addr, paged);
	if (error) {
		snprintf(why, sizeof(why), "%s", uf_pager_why());
		uf_source_close(source);
		return library_fail(error, "%s", why);
	}
	*len = s->size;
	return 0;
}
