/*
 * http.c - /metrics, /status and /healthz, by a thread of their own.
 */
#include "serve.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS 32
#define PATIENCE_S  10
#define MEMORY	    16384

struct http {
	struct MHD_Daemon *daemon;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
			      char *text, size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result result;

	if (!r) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", (char *)text, strlen(text),
		      MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result answer_made(struct MHD_Connection *c, const char *type, char *text,
				   size_t len)
{
	if (!text)
		return answer_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
	return answer(c, MHD_HTTP_OK, type, text, len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result answer_health(struct MHD_Connection *c, struct server *s)
{
	char why[128], text[160];

	if (status_healthy(s, why, sizeof(why)))
		return answer_text(c, MHD_HTTP_OK, "ok\n");
	snprintf(text, sizeof(text), "%s\n", why);
	return answer_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	static int seen;
	struct server *s = arg;
	size_t len = 0;
	char *text;

	(void)version;
	(void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (!*state) {
		/* The headers are there, a body may follow. */
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") == 0) {
		text = metrics_text(s, &len);
		return answer_made(c, "text/plain; version=0.0.4; charset=utf-8", text, len);
	}
	if (strcmp(url, "/status") == 0) {
		text = status_text(s, &len);
		return answer_made(c, "application/json", text, len);
	}
	if (strcmp(url, "/healthz") == 0)
		return answer_health(c, s);
	return answer_text(c, MHD_HTTP_NOT_FOUND, "there are /metrics, /status and /healthz\n");
}

int http_begin(struct server *s, int fd)
{
	struct http *h = calloc(1, sizeof(*h));
	/* Whoever holds the socket for the next server keeps it open. */
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (h && own >= 0)
		h->daemon = MHD_start_daemon(
			MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, handle, s,
			MHD_OPTION_LISTEN_SOCKET, own, MHD_OPTION_CONNECTION_LIMIT,
			(unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_S,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_END);
	if (!h || !h->daemon) {
		if (own >= 0)
			close(own);
		free(h);
		return -1;
	}
	s->http = h;
	return 0;
}

void http_end(struct server *s)
{
	if (!s->http)
		return;
	MHD_stop_daemon(s->http->daemon);
	free(s->http);
	s->http = NULL;
}
