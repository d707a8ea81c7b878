/* SPDX-License-Identifier: MIT */
/* Addresses, their lengths, and options of sockets in missing pages. */
#include "served.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in any(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int main(void)
{
	struct sockaddr_in addr = any();
	socklen_t len = sizeof addr;
	int one = 1;

	serve();
	int *pair = lend_over(NULL, 2 * sizeof(int));
	EQ(SYS(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ASKED(2);
	EQ(write(pair[0], "x", 1), 1);

	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	EQ(SYS(SYS_setsockopt, server, SOL_SOCKET, SO_REUSEADDR, lend(&one, 4), 4), 0);
	ASKED(1);
	EQ(SYS(SYS_bind, server, lend(&addr, sizeof addr), sizeof addr), 0);
	ASKED(1);
	EQ(listen(server, 5), 0);
	struct sockaddr_in *got = lend(NULL, sizeof *got);
	socklen_t *got_len = lend(&len, sizeof len);
	EQ(SYS(SYS_getsockname, server, got, got_len), 0);
	ASKED(2);
	EQ(*got_len, sizeof addr);
	CHECK(got->sin_port != 0);
	addr.sin_port = got->sin_port;
	EQ(SYS(SYS_connect, client, lend_over(&addr, sizeof addr), sizeof addr), 0);
	ASKED(2);
	got = lend_over(NULL, sizeof *got);
	got_len = lend(&len, sizeof len);
	long fd = SYS(SYS_accept4, server, got, got_len, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	ASKED(3);
	EQ(*got_len, sizeof addr);
	EQ(got->sin_family, AF_INET);
	EQ(got->sin_addr.s_addr, htonl(INADDR_LOOPBACK));

	/* More room than the answer takes is not touched. */
	struct sockaddr_un local, *name;
	len = sizeof local;
	name = lend_over(NULL, sizeof local);
	EQ(SYS(SYS_getsockname, pair[0], name, lend(&len, sizeof len)), 0);
	ASKED(2);
	EQ(name->sun_family, AF_UNIX);

	int *value = lend(NULL, sizeof *value);
	len = sizeof *value;
	EQ(SYS(SYS_getsockopt, client, SOL_SOCKET, SO_TYPE, value, lend(&len, sizeof len)), 0);
	ASKED(2);
	EQ(*value, SOCK_STREAM);

	/* A datagram's sender. */
	int from = socket(AF_INET, SOCK_DGRAM, 0), to = socket(AF_INET, SOCK_DGRAM, 0);
	addr = any();
	len = sizeof addr;
	EQ(bind(to, (struct sockaddr *)&addr, len), 0);
	EQ(getsockname(to, (struct sockaddr *)&addr, &len), 0);
	EQ(SYS(SYS_sendto, from, lend_over("datagram", 8), 8, 0, lend(&addr, sizeof addr),
	       sizeof addr),
	   8);
	ASKED(3);
	char *text = lend_over(NULL, 100);
	got = lend(NULL, sizeof *got);
	got_len = lend(&len, sizeof len);
	EQ(SYS(SYS_recvfrom, to, text, 100, 0, got, got_len), 8);
	ASKED(3);
	CHECK(memcmp(text, "datagram", 8) == 0);
	EQ(got->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	EQ(*got_len, sizeof *got);
	return 0;
}
