/*
 * transfer.h - system calls that move data between files and managed memory.
 */
#ifndef UF_FRONT_TRANSFER_H
#define UF_FRONT_TRANSFER_H

#include "front/preload.h"

struct transfer {
	/* The system call itself, on memory of ours. A result or a negative errno. */
	long (*call)(struct transfer *t, void *buf, size_t n);
	int fd;
	int flags;
	off64_t off;
	bool message; /* all or nothing */
	void *more;   /* for call */
};

/*
 * Must a call that writes to or reads from that memory go by way of a buffer? If not, the memory is
 * ready for it.
 */
static inline bool transfer_concerns(const void *buf, size_t n, bool write)
{
	return unlikely(front_managing()) && !mem_open(buf, n, write);
}

static inline bool transfer_concerns_iov(const struct iovec *iov, int n, bool write)
{
	return unlikely(front_managing()) && !mem_open_iov(iov, n, write);
}

/* Into and out of the program's memory: bytes, or a negative errno. */
long transfer_in(struct transfer *t, const struct iovec *iov, int n);
long transfer_out(struct transfer *t, const struct iovec *iov, int n);
long transfer_in_one(struct transfer *t, void *buf, size_t n);
long transfer_out_one(struct transfer *t, const void *buf, size_t n);

long transfer_call_read(struct transfer *t, void *buf, size_t n);
long transfer_call_pread(struct transfer *t, void *buf, size_t n);
long transfer_call_write(struct transfer *t, void *buf, size_t n);
long transfer_call_pwrite(struct transfer *t, void *buf, size_t n);

#endif
