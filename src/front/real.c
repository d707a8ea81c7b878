/*
 * real.c - libc's own functions, found behind ours.
 */
#include "front/hosted.h"
#include "front/preload.h"

#include <dlfcn.h>
#include <linux/futex.h>

_Atomic(void *) real_functions[REAL_COUNT];

static const char *const names[REAL_COUNT] = {
#define X(name) [REAL_##name] = #name,
	REAL_LIST(X)
#undef X
};

static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *real_find(enum real_id id)
{
	void *fn = dlsym(RTLD_NEXT, names[id]);

	if (!fn)
		fn = (void *)missing;
	atomic_store_explicit(&real_functions[id], fn, memory_order_relaxed);
	return fn;
}

void real_init(void)
{
	unsigned id;

	for (id = 0; id < REAL_COUNT; id++)
		if (!atomic_load(&real_functions[id]))
			real_find((enum real_id)id);
}

int front_poll(struct pollfd *fds, unsigned long n, int timeout)
{
	if (unlikely(hosted_active))
		return (int)sys_errno(hosted_poll(fds, n, timeout));
	return REAL(poll)(fds, n, timeout);
}

int front_sleep(_Atomic uint32_t *word, uint32_t value)
{
	const long a[6] = {(long)word, FUTEX_WAIT, value};

	if (unlikely(hosted_active))
		return (int)hosted_gate_sleep(SYS_futex, a);
	return (int)SYS(SYS_futex, word, FUTEX_WAIT, value, NULL);
}

ssize_t front_read(int fd, void *buf, size_t count)
{
	int err = unlikely(hosted_active) ? hosted_await(fd) : 0;

	if (err)
		return sys_errno(err);
	return REAL(read)(fd, buf, count);
}
