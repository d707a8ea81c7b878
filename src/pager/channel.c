/*
 * channel.c - frames over a stream socket, in TLS (OpenSSL) or in clear.
 */
#include "pager/channel.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "userfault/pager.h"

enum {
	HEADER = 24,
	HANDSHAKE_MS = 30000,
	READ_AT_ONCE = 256 << 10,
	SENT_AT_ONCE = 1 << 20, /* in one pump: then others have a turn */
};

struct buffer {
	char *at;
	size_t from, to, size; /* [from, to) is in use */
};

struct channel {
	int fd;
	SSL_CTX *context; /* NULL: in clear */
	SSL *ssl;
	/* TLS: receiving has to send first, and the other way round. */
	bool in_wants_write, out_wants_read;
	bool closed; /* the other side has said all */
	struct buffer in, out;
};

/* ---- buffers
 */

static int make_room(struct buffer *b, size_t more)
{
	char *larger;
	size_t size;

	if (b->from == b->to)
		b->from = b->to = 0;
	if (b->size - b->to >= more)
		return 0;
	if (b->from > b->size / 2) {
		memmove(b->at, b->at + b->from, b->to - b->from);
		b->to -= b->from;
		b->from = 0;
		if (b->size - b->to >= more)
			return 0;
	}
	for (size = b->size ? b->size : READ_AT_ONCE; size - b->to < more;)
		size *= 2;
	larger = realloc(b->at, size);
	if (!larger)
		return -ENOMEM;
	b->at = larger;
	b->size = size;
	return 0;
}

/* ---- TLS
 */

/*
 * OpenSSL writes to a socket as to any file: around what it does on the program's own threads,
 * where SIGPIPE is not blocked, the program is not to get a signal for that.
 */
struct pipe_signal {
	sigset_t before;
	bool pending;
};

static void hold_signal(struct pipe_signal *s)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	s->pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &s->before);
}

static void release_signal(const struct pipe_signal *s)
{
	const struct timespec none = {0};
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!s->pending)
		sigtimedwait(&pipe, NULL, &none);
	pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

/* The library's own account of what is wrong. */
static void tell(char *why, size_t size, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, size, "%s: %s", what, reason ? reason : "no reason is given");
	ERR_clear_error();
}

/* OpenSSL knows that a system call failed, where the user wants to know of which file, and why. */
static int refuse_file(char *why, size_t size, const char *what, const char *path)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (access(path, R_OK) < 0)
		reason = strerror(errno);
	snprintf(why, size, "%s %s cannot be used: %s", what, path,
		 reason ? reason : "no reason is given");
	ERR_clear_error();
	return -EINVAL;
}

static int load(struct channel *c, const struct uf_tls *tls, char *why, size_t size)
{
	if (!tls->certificate || !tls->key || !tls->ca) {
		snprintf(why, size, "TLS needs a certificate, its key, and who signs the other's");
		return -EINVAL;
	}
	if (SSL_CTX_use_certificate_chain_file(c->context, tls->certificate) != 1)
		return refuse_file(why, size, "the certificate", tls->certificate);
	if (SSL_CTX_use_PrivateKey_file(c->context, tls->key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(c->context) != 1)
		return refuse_file(why, size, "the key", tls->key);
	if (SSL_CTX_load_verify_file(c->context, tls->ca) != 1)
		return refuse_file(why, size, "the authority's certificate", tls->ca);
	return 0;
}

static int prepare(struct channel *c, const struct uf_tls *tls, int server, char *why, size_t size)
{
	int error;

	c->context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!c->context)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(c->context, TLS1_3_VERSION);
	SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_mode(c->context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	error = load(c, tls, why, size);
	if (error)
		return error;
	c->ssl = SSL_new(c->context);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    (tls->peer && SSL_set1_host(c->ssl, tls->peer) != 1)) {
		tell(why, size, "TLS cannot begin");
		return -ENOMEM;
	}
	if (server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return 0;
}

static int failed_handshake(struct channel *c, char *why, size_t size)
{
	long verified = SSL_get_verify_result(c->ssl);

	if (verified != X509_V_OK) {
		snprintf(why, size, "the other side's certificate is refused: %s",
			 X509_verify_cert_error_string(verified));
		ERR_clear_error();
		return -EPERM;
	}
	if (ERR_peek_error() == 0) {
		snprintf(why, size, "the other side ended the TLS handshake");
		return -EPIPE;
	}
	tell(why, size, "the TLS handshake failed");
	return -EPROTO;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int shake_hands(struct channel *c, char *why, size_t size)
{
	int64_t end = now_ms() + HANDSHAKE_MS, left;
	struct pollfd p = {.fd = c->fd};
	int done;

	while ((done = SSL_do_handshake(c->ssl)) != 1) {
		switch (SSL_get_error(c->ssl, done)) {
		case SSL_ERROR_WANT_READ:
			p.events = POLLIN;
			break;
		case SSL_ERROR_WANT_WRITE:
			p.events = POLLOUT;
			break;
		default:
			return failed_handshake(c, why, size);
		}
		left = end - now_ms();
		if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR)) {
			snprintf(why, size, "the TLS handshake did not end");
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* Bytes, 0: would wait, -EPIPE. `other` is what `other_way` says then. */
static ssize_t tls_result(struct channel *c, int n, int other, bool *other_way)
{
	int what = n > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, n);

	*other_way = what == other;
	if (n > 0)
		return n;
	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
		return 0;
	ERR_clear_error();
	return -EPIPE;
}

static ssize_t plain_result(ssize_t n)
{
	if (n > 0)
		return n;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static ssize_t get(struct channel *c, void *to, size_t len)
{
	return c->ssl ? tls_result(c, SSL_read(c->ssl, to, (int)len), SSL_ERROR_WANT_WRITE,
				   &c->in_wants_write)
		      : plain_result(recv(c->fd, to, len, MSG_DONTWAIT));
}

static ssize_t put(struct channel *c, const void *from, size_t len)
{
	return c->ssl ? tls_result(c, SSL_write(c->ssl, from, (int)len), SSL_ERROR_WANT_READ,
				   &c->out_wants_read)
		      : plain_result(send(c->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* ---- opening and closing
 */

int channel_open(int socket, const struct uf_tls *tls, int server, struct channel **out, char *why,
		 size_t why_size)
{
	struct channel *c = calloc(1, sizeof(*c));
	struct pipe_signal signal;
	int error = 0, flags;

	snprintf(why, why_size, "there is no memory left");
	if (!c)
		return -ENOMEM;
	c->fd = fcntl(socket, F_DUPFD_CLOEXEC, 3);
	flags = c->fd < 0 ? -1 : fcntl(c->fd, F_GETFL);
	if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		snprintf(why, why_size, "the socket cannot be used: %s", strerror(errno));
		error = -errno;
	}
	if (!error && tls) {
		hold_signal(&signal);
		error = prepare(c, tls, server, why, why_size);
		if (!error)
			error = shake_hands(c, why, why_size);
		release_signal(&signal);
	}
	if (error) {
		channel_close(c);
		return error;
	}
	*out = c;
	return 0;
}

void channel_close(struct channel *c)
{
	struct pipe_signal signal;

	if (c->ssl && SSL_is_init_finished(c->ssl)) {
		hold_signal(&signal);
		if (SSL_shutdown(c->ssl) < 0)
			ERR_clear_error();
		release_signal(&signal);
	}
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in.at);
	free(c->out.at);
	free(c);
}

int channel_fd(const struct channel *c)
{
	return c->fd;
}

size_t channel_queued(const struct channel *c)
{
	return c->out.to - c->out.from;
}

/* Enough has arrived that nobody has looked at. */
static bool full(const struct channel *c)
{
	return c->in.to - c->in.from >= 2 * CHANNEL_MOST;
}

short channel_events(const struct channel *c)
{
	bool output = (channel_queued(c) && !c->out_wants_read) || c->in_wants_write;

	return (short)((full(c) ? 0 : POLLIN) | (output ? POLLOUT : 0));
}

/* ---- frames
 */

static int send_some(struct channel *c)
{
	size_t sent = 0;
	ssize_t n;

	while (channel_queued(c) && sent < SENT_AT_ONCE) {
		n = put(c, c->out.at + c->out.from,
			channel_queued(c) < SENT_AT_ONCE ? channel_queued(c) : SENT_AT_ONCE);
		if (n <= 0)
			return (int)n;
		c->out.from += (size_t)n;
		sent += (size_t)n;
	}
	return 0;
}

static int receive_some(struct channel *c)
{
	ssize_t n;
	int error;

	while (!full(c)) {
		error = make_room(&c->in, READ_AT_ONCE);
		if (error)
			return error;
		n = get(c, c->in.at + c->in.to, READ_AT_ONCE);
		if (n <= 0)
			return (int)n;
		c->in.to += (size_t)n;
	}
	return 0;
}

int channel_pump(struct channel *c)
{
	int error;

	error = send_some(c);
	/* What has arrived is the caller's, also when that was the end. */
	return error ? error : receive_some(c);
}

bool channel_pending(const struct channel *c)
{
	return c->ssl && !full(c) && SSL_pending(c->ssl) > 0;
}

int channel_flush(struct channel *c)
{
	return send_some(c);
}

int channel_send(struct channel *c, const struct frame *f, const void *data)
{
	uint32_t words[2] = {htole32(f->type), htole32(f->len)};
	uint64_t longs[2] = {htole64(f->offset), htole64(f->value)};
	int error = make_room(&c->out, HEADER + f->len);

	if (error)
		return error;
	memcpy(c->out.at + c->out.to, words, sizeof(words));
	memcpy(c->out.at + c->out.to + sizeof(words), longs, sizeof(longs));
	if (f->len)
		memcpy(c->out.at + c->out.to + HEADER, data, f->len);
	c->out.to += HEADER + f->len;
	return 0;
}

int channel_next(struct channel *c, struct frame *f, const void **data)
{
	size_t there = c->in.to - c->in.from;
	uint32_t words[2];
	uint64_t longs[2];

	if (there < HEADER)
		return 0;
	memcpy(words, c->in.at + c->in.from, sizeof(words));
	memcpy(longs, c->in.at + c->in.from + sizeof(words), sizeof(longs));
	*f = (struct frame){le32toh(words[0]), le32toh(words[1]), le64toh(longs[0]),
			    le64toh(longs[1])};
	if (f->len > CHANNEL_MOST)
		return -EPROTO;
	if (there < HEADER + f->len)
		return 0;
	*data = c->in.at + c->in.from + HEADER;
	c->in.from += HEADER + f->len;
	return 1;
}

int channel_wait(struct channel *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = channel_events(c)};
	int n = poll(&p, 1, timeout_ms);

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}
