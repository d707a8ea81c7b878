/*
 * elsewhere wait SOCKET: has a page registered, sends the descriptor to whoever connects to SOCKET,
 * and touches the page in its first thread; then prints what is there. Says "ADDRESS PID" first.
 *
 * elsewhere serve SOCKET: takes the descriptor, reads the message and fills the page with 7s. Where
 * that fails, ends with the errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE 4096

static int uffd, listener;

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static struct sockaddr_un name_of(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	check(strlen(path) < sizeof(name.sun_path), path);
	strcpy(name.sun_path, path);
	return name;
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message(struct iovec *data, union control *control)
{
	memset(control, 0, sizeof(*control));
	return (struct msghdr){.msg_iov = data,
			       .msg_iovlen = 1,
			       .msg_control = control,
			       .msg_controllen = sizeof(*control)};
}

static void *hand_out(void *unused)
{
	char byte = 0;
	struct iovec data = {&byte, 1};
	union control control;
	struct msghdr msg = message(&data, &control);
	int sock;

	(void)unused;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(uffd));
	memcpy(CMSG_DATA(&control.header), &uffd, sizeof(uffd));
	while ((sock = accept(listener, NULL, NULL)) >= 0) {
		check(sendmsg(sock, &msg, 0) == 1, "sendmsg");
		close(sock);
	}
	return NULL;
}

static int wait_for_page(const char *path)
{
	struct sockaddr_un name = name_of(path);
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	pthread_t thread;
	volatile char *page;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	check(uffd >= 0, "userfaultfd");
	check(ioctl(uffd, UF_IO_API, &api) == 0, "API");
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(page != MAP_FAILED, "mmap");
	reg.range = (struct uf_range){(uint64_t)page, PAGE};
	check(ioctl(uffd, UF_IO_REGISTER, &reg) == 0, "REGISTER");
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0, "bind");
	check(listen(listener, 5) == 0, "listen");
	check(pthread_create(&thread, NULL, hand_out, NULL) == 0, "pthread_create");
	printf("0x%lx %d\n", (unsigned long)page, getpid());
	fflush(stdout);
	printf("%d\n", page[0]);
	return 0;
}

static int serve(const char *path)
{
	static char contents[PAGE] __attribute__((aligned(PAGE)));
	struct sockaddr_un name = name_of(path);
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	char byte;
	struct iovec data = {&byte, 1};
	union control control;
	struct msghdr msg = message(&data, &control);
	struct uf_msg fault;

	check(connect(sock, (struct sockaddr *)&name, sizeof(name)) == 0, "connect");
	check(recvmsg(sock, &msg, 0) == 1, "recvmsg");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (read(fd, &fault, sizeof(fault)) != sizeof(fault))
		return errno;
	memset(contents, 7, PAGE);
	struct uf_copy copy = {
		.dst = fault.arg.pagefault.address, .src = (uint64_t)contents, .len = PAGE};
	return ioctl(fd, UF_IO_COPY, &copy) == 0 ? 0 : errno;
}

int main(int argc, char **argv)
{
	alarm(60);
	if (argc == 3 && strcmp(argv[1], "wait") == 0)
		return wait_for_page(argv[2]);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	return 2;
}
