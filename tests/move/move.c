/*
 * move.c - memory moves to another process while its own goes on writing: over TLS and in clear,
 * and with either side killed half way.
 */
#include "move.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "certificates.h"

enum {
	LEN = 32 << 20,
};

static struct certificates certificates;

/* ---- the process that the memory goes to
 */

struct told {
	int received; /* uf_pager_receive */
	int waited;
	int bad; /* pages that are not what they were */
};

static struct told receive(int sock, const struct uf_tls *tls, int tell, bool stop_half_way)
{
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	struct told told = {0};
	struct uf_paged *paged;
	struct uf_pager *pager;
	void *memory = NULL;
	size_t len = 0;

	CHECK(uf_pager_new(NULL, &pager) == 0);
	if (stop_half_way)
		options.flags = UF_PAGED_DEMAND;
	options.flags |= UF_PAGED_WRITABLE;
	told.received = uf_pager_receive(pager, sock, tls, &options, &memory, &len, &paged);
	if (told.received)
		return told;
	CHECK(len == LEN);
	if (stop_half_way) {
		CHECK(*(volatile uint64_t *)((char *)memory + PAGE + 64) == PAGE * 31 + 64);
		CHECK(write(tell, "x", 1) == 1);
		pause();
	}
	check_instant(memory, LEN);
	/* It is this process's own now. */
	memset(memory, 0x5a, LEN);
	told.waited = uf_pager_wait(paged);
	CHECK(((char *)memory)[LEN - 1] == 0x5a);
	CHECK(uf_pager_detach(paged) == 0);
	uf_pager_free(pager);
	return told;
}

static pid_t start_receiver(int sock[2], const struct uf_tls *tls, int tell[2], bool stop_half_way)
{
	pid_t pid;
	struct told told;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);
	CHECK(pipe(tell) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(sock[0]);
		close(tell[0]);
		told = receive(sock[1], tls, tell[1], stop_half_way);
		CHECK(write(tell[1], &told, sizeof(told)) == sizeof(told));
		_exit(0);
	}
	close(sock[1]);
	close(tell[1]);
	return pid;
}

static void reap(pid_t pid, int expected)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == expected);
}

/* ---- the one that has it
 */

static char *make_memory(void)
{
	char *memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	fill(memory, LEN);
	return memory;
}

static void moves(const struct uf_tls *here, const struct uf_tls *there)
{
	int sock[2], tell[2];
	pid_t pid = start_receiver(sock, there, tell, false);
	char *memory = make_memory();
	struct uf_pager *pager;
	struct told told;
	struct writer w;

	CHECK(uf_pager_new(NULL, &pager) == 0);
	writer_start(&w, memory, LEN);
	CHECK(uf_pager_send(pager, memory, LEN, sock[0], here) == 0);
	writer_stop(&w);
	check_instant(memory, LEN);
	CHECK(read(tell[0], &told, sizeof(told)) == sizeof(told));
	CHECK(told.received == 0 && told.waited == 0);
	reap(pid, 0);
	close(sock[0]);
	close(tell[0]);
	uf_pager_free(pager);
	munmap(memory, LEN);
}

static void refused(const struct uf_tls *here, const struct uf_tls *there, int at_us)
{
	int sock[2], tell[2];
	pid_t pid = start_receiver(sock, there, tell, false);
	char *memory = make_memory();
	struct uf_pager *pager;
	struct told told;
	int error;

	CHECK(uf_pager_new(NULL, &pager) == 0);
	error = uf_pager_send(pager, memory, LEN, sock[0], here);
	close(sock[0]);
	CHECK(read(tell[0], &told, sizeof(told)) == sizeof(told));
	CHECK(at_us ? error == at_us : told.received == -EPERM);
	CHECK(error < 0 && told.received < 0);
	reap(pid, 0);
	close(tell[0]);
	memset(memory, 1, LEN); /* as it was: nobody protects it */
	uf_pager_free(pager);
	munmap(memory, LEN);
}

/* The receiver dies: the memory is still the sender's, and nobody waits for ever. */
static void receiver_dies(void)
{
	int sock[2], tell[2];
	pid_t pid = start_receiver(sock, NULL, tell, true);
	char *memory = make_memory(), byte;
	struct uf_pager *pager;
	struct writer w;
	pid_t killer;

	CHECK(uf_pager_new(NULL, &pager) == 0);
	killer = fork();
	CHECK(killer >= 0);
	if (killer == 0) {
		close(sock[0]);
		CHECK(read(tell[0], &byte, 1) == 1);
		kill(pid, SIGKILL);
		_exit(0);
	}
	writer_start(&w, memory, LEN);
	CHECK(uf_pager_send(pager, memory, LEN, sock[0], NULL) == -EPIPE);
	writer_stop(&w);
	check_instant(memory, LEN);
	reap(killer, 0);
	reap(pid, SIGKILL);
	close(sock[0]);
	close(tell[0]);
	uf_pager_free(pager);
	munmap(memory, LEN);
}

static sigjmp_buf touched;

static void on_bus(int sig)
{
	siglongjmp(touched, sig);
}

/* The sender dies: what has not come never will, and whoever touches it gets to know. */
static void sender_dies(void)
{
	int sock[2];
	char *memory = make_memory();
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	struct uf_pager *pager;
	struct uf_paged *paged;
	void *here = NULL;
	size_t len;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(sock[1]);
		CHECK(uf_pager_new(NULL, &pager) == 0);
		uf_pager_send(pager, memory, LEN, sock[0], NULL);
		_exit(0);
	}
	close(sock[0]);
	CHECK(uf_pager_new(NULL, &pager) == 0);
	options.flags = UF_PAGED_DEMAND;
	CHECK(uf_pager_receive(pager, sock[1], NULL, &options, &here, &len, &paged) == 0);
	CHECK(*(volatile uint64_t *)((char *)here + PAGE + 64) == PAGE * 31 + 64);
	kill(pid, SIGKILL);
	reap(pid, SIGKILL);
	signal(SIGBUS, on_bus);
	if (sigsetjmp(touched, 1) == 0) {
		(void)*((volatile char *)here + LEN - PAGE);
		CHECK(!"a page came from a process that is gone");
	}
	signal(SIGBUS, SIG_DFL);
	CHECK(uf_pager_detach(paged) == 0);
	uf_pager_free(pager);
	close(sock[1]);
	munmap(memory, LEN);
}

int main(void)
{
	struct uf_tls one, two, stranger, named, misnamed;

	certificates_make(&certificates);
	one = certificates_tls(&certificates, "one");
	two = certificates_tls(&certificates, "two");
	stranger = certificates_tls(&certificates, "stranger");
	named = one;
	named.peer = "two";
	misnamed = one;
	misnamed.peer = "three";

	moves(NULL, NULL);
	moves(&one, &two);
	moves(&named, &two);
	refused(&one, &stranger, -EPERM);
	refused(&misnamed, &two, -EPERM);
	refused(&stranger, &two, 0);
	receiver_dies();
	sender_dies();
	certificates_remove(&certificates);
	return 0;
}
