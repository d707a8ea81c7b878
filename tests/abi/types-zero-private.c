/* SPDX-License-Identifier: MIT */
/* A private mapping of /dev/zero can be registered, but only MOVE puts pages there. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	for (uint64_t modes = 1; modes < 8; modes++)
		if (modes & MINOR)
			REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
		else
			REGISTERS(fd, m, modes);
	EQ(unreg(fd, m->p, m->len), 0);
	REGISTERS(fd, m, MISSING);
	reader(&t, m->p + PG + 5);
	FAULT(fd, m->p + PG, 0);
	FAILS(copy(fd, m->p + PG, page_of(1), PG, 0), EFAULT);
	FAILS(zeropage(fd, m->p + PG, PG, 0), EFAULT);
	FAILS(poison(fd, m->p + PG, PG, 0), EFAULT);
	FAILS(cont(fd, m->p + PG, PG, 0), EINVAL);
	CHECK(blocked(&t));
	EQ(unreg(fd, m->p, m->len), 0);
	join(&t);
	EQ(t.byte, 0);

	/* To MOVE it is anonymous memory like any other, and a page comes and goes. */
	REGISTERS(fd, m, MISSING);
	char *anon = map(1);
	EQ(reg(fd, anon, PG, MISSING), 0);
	DONE(move(fd, m->p, page_of(4), PG, 0), PG);
	CHECK(all(m->p, PG, 4));
	DONE(move(fd, anon, m->p, PG, 0), PG);
	CHECK(all(anon, PG, 4));
	CHECK(!populated(m->p));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE);
	return each(ZERO_PRIVATE, 2, check);
}
