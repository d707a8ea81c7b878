/* SPDX-License-Identifier: MIT */
/* io_submit and io_getevents: requests, buffers and events in missing pages. */
#include "served.h"

#include <linux/aio_abi.h>
#include <time.h>

int main(void)
{
	char text[2 * PG];
	struct timespec limit = {10, 0};

	serve();
	memset(text, 'a', sizeof text);
	int fd = memfd_create("abi", MFD_CLOEXEC);
	aio_context_t *ctx = lend(NULL, sizeof *ctx);
	if (SYS(SYS_io_setup, 4, ctx) == -ENOSYS)
		skip_host("no io_setup");
	CHECK(*ctx != 0);
	char *in = lend_over(NULL, sizeof text);
	struct iocb write = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			     .aio_fildes = fd,
			     .aio_buf = (uintptr_t)lend_over(text, sizeof text),
			     .aio_nbytes = sizeof text,
			     .aio_data = 1};
	struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD,
			    .aio_fildes = fd,
			    .aio_buf = (uintptr_t)in,
			    .aio_nbytes = sizeof text,
			    .aio_data = 2};
	struct iocb *list[1] = {lend(&write, sizeof write)};
	struct io_event *events;

	for (int i = 0; i < 2; i++) {
		EQ(SYS(SYS_io_submit, *ctx, 1, lend(list, sizeof list)), 1);
		CHECK(asked() > 0);
		events = lend(NULL, 4 * sizeof *events);
		EQ(SYS(SYS_io_getevents, *ctx, 1, 4, events, lend(&limit, sizeof limit)), 1);
		ASKED(2);
		EQ(events->data, i + 1);
		EQ(events->res, sizeof text);
		list[0] = lend(&read, sizeof read);
	}
	CHECK(all(in, sizeof text, 'a'));
	EQ(SYS(SYS_io_destroy, *ctx), 0);
	return 0;
}
