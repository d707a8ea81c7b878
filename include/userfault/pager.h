/* SPDX-License-Identifier: MIT */
/*
 * userfault/pager.h - memory whose pages come from elsewhere, when they are touched.
 *
 * A pager fills pages from a source: a file, a packed image, an NBD server, Ceph, another process,
 * a function of the program's own. It fetches asynchronously, joins what several threads want, goes
 * on after errors, prefetches, and keeps to a limit on memory. It serves memory of the program's
 * own (uf_pager_map) and memory of others, whose userfaultfd it was given (uf_pager_attach): it is
 * what `userfault serve` is made of. Any userfaultfd will do, the kernel's or Userfault's.
 *
 * Link with -luserfault-pager. A pager works in a thread of its own. Every function may be called
 * from any thread, but not from the pager's own callbacks unless it says so, and not on memory that
 * the pager itself serves. Functions return 0 or a negative errno; uf_pager_why tells the cause of
 * the calling thread's last error in a sentence.
 */
#ifndef USERFAULT_PAGER_H
#define USERFAULT_PAGER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uf_pager;  /* the engine and its thread */
struct uf_source; /* where contents come from */
struct uf_paged;  /* memory that a pager serves */

const char *uf_pager_why(void);

/* ---- a pager
 */

enum uf_pager_failure {
	UF_PAGER_POISON, /* who touches a page that cannot be had gets SIGBUS */
	UF_PAGER_KILL,	 /* its process gets SIGKILL */
	UF_PAGER_WAIT	 /* it waits, and the fetch is tried again, for ever */
};

/* Begin with UF_PAGER_OPTIONS; 0 is always a sensible value. */
struct uf_pager_options {
	size_t size;	      /* sizeof(struct uf_pager_options) */
	const char *name;     /* shown by userfault top; NULL: the program's */
	uint64_t in_flight;   /* bytes being fetched at a time, at most (32 MiB) */
	uint64_t cache;	      /* bytes kept of what was dear to fetch (0: none) */
	uint64_t bandwidth;   /* bytes per second for prefetch (0: no limit) */
	unsigned deadline_ms; /* after which a page that cannot be fetched is given up (10,000) */
	enum uf_pager_failure on_failure;
	const char *trace; /* file to write a trace to, for userfault trace */
	/* Called from the pager's thread: 0 error, 1 warning, 2 information. NULL: errors to
	 * stderr. */
	void (*log)(void *arg, int level, const char *text);
	void *log_arg;
};
#define UF_PAGER_OPTIONS                                                                           \
	{                                                                                          \
		sizeof(struct uf_pager_options), NULL, 0, 0, 0, 0, UF_PAGER_POISON, NULL, NULL,    \
			NULL                                                                       \
	}

/* options NULL: all as it comes. -ENOMEM, -EMFILE. */
int uf_pager_new(const struct uf_pager_options *options, struct uf_pager **pager);
/* Everything that it serves is detached first, and its sources are closed. */
void uf_pager_free(struct uf_pager *pager);

/* ---- sources
 */

/*
 * Opens FILE (raw, or an image of userfault pack), nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?
 * socket=PATH, rados:POOL/IMAGE[?conf=FILE]. May block. -ENOENT, -EINVAL, -EIO...
 */
int uf_source_open(struct uf_pager *pager, const char *spec, struct uf_source **source);
/*
 * The program's own. read is called from a thread of the pager's for [offset, offset + len), both
 * multiples of 4096, and fills all of buf or returns a negative errno; up to `threads` calls at a
 * time. size: in bytes. chunk: bytes that one call likes to be asked for, a power of two from 4 KiB
 * to 2 MiB.
 */
int uf_source_new(struct uf_pager *pager, uint64_t size, uint32_t chunk, unsigned threads,
		  int (*read)(void *arg, uint64_t offset, void *buf, size_t len), void *arg,
		  struct uf_source **source);
uint64_t uf_source_size(const struct uf_source *source);
/* After the last memory that is filled from it was detached; else -EBUSY. */
int uf_source_close(struct uf_source *source);

/* ---- memory of this process
 */

#define UF_PAGED_WRITABLE 1u /* PROT_WRITE too; changes stay in the program */
#define UF_PAGED_DEMAND	  2u /* nothing is prefetched */
#define UF_PAGED_KERNEL	  4u /* the kernel's userfaultfd, or -EPERM/-ENOSYS */
#define UF_PAGED_OWN	  8u /* Userfault's; neither: the kernel's if it may be used */

struct uf_paged_options {
	size_t size;	   /* sizeof(struct uf_paged_options) */
	unsigned flags;	   /* UF_PAGED_* */
	uint64_t limit;	   /* bytes in memory at a time; 0: no limit */
	const char *spill; /* directory for changed pages that leave; NULL: $TMPDIR or /tmp */
	const char *record, *prefetch; /* orders of first touches, to write and to go by */
	const char *name;
};
#define UF_PAGED_OPTIONS                                                                           \
	{                                                                                          \
		sizeof(struct uf_paged_options), 0, 0, NULL, NULL, NULL, NULL                      \
	}

/*
 * Maps len bytes (a multiple of 4096) of source from offset (a multiple of 4096) at *addr (in: a
 * hint, or NULL). Beyond the source's end is zero. options NULL: all as it comes.
 */
int uf_pager_map(struct uf_pager *pager, struct uf_source *source, uint64_t offset, size_t len,
		 const struct uf_paged_options *options, void **addr, struct uf_paged **paged);

/* ---- memory of others
 */

struct uf_paged_range {
	uint64_t addr, size; /* in the other process: multiples of page_size */
	uint64_t offset;     /* in the source: a multiple of 4096 */
	uint64_t page_size;  /* 4096 or 2 MiB */
};

/*
 * Serves ranges that are registered with uffd (missing, or minor if memfd is not -1, which then has
 * the contents at the source's offsets). Both descriptors are duplicated.
 */
int uf_pager_attach(struct uf_pager *pager, struct uf_source *source, int uffd, int memfd,
		    const struct uf_paged_range *range, size_t ranges,
		    const struct uf_paged_options *options, struct uf_paged **paged);

/*
 * Nothing is served any more. Memory of this process is unmapped; threads that wait for it get
 * SIGSEGV.
 */
int uf_pager_detach(struct uf_paged *paged);
/* Returns when every page is there (or was given up: -EIO). -EINTR if a signal's handler ran. */
int uf_pager_wait(struct uf_paged *paged);
/*
 * The same, and then nothing is served any more, but the memory stays: it is the program's like any
 * other, to snapshot, to send, and to unmap at last (uf_munmap; with UF_PAGED_KERNEL munmap will
 * do). Of memory of this process without a limit; -EINVAL. After an error it is served as before.
 */
int uf_pager_release(struct uf_paged *paged);

struct uf_paged_stats {
	uint64_t faults, filled, zeros, ahead, evicted, spilled, failed, resident; /* pages */
	uint64_t p50_ns, p99_ns, max_ns; /* message read to page filled */
};
void uf_paged_get_stats(struct uf_paged *paged, struct uf_paged_stats *stats);

/* ---- a snapshot of memory in use
 */

struct uf_snapshot;
struct uf_snapshot_options {
	size_t size; /* sizeof(struct uf_snapshot_options) */
	const char *
		kind; /* "raw", "packed", "rados", "nbd"; NULL: by the target's name, else packed */
	uint64_t bandwidth; /* bytes per second; 0: no limit */
};
#define UF_SNAPSHOT_OPTIONS                                                                        \
	{                                                                                          \
		sizeof(struct uf_snapshot_options), NULL, 0                                        \
	}

/*
 * Begins to write what [addr, addr + len) contains at one instant, before this returns, to target,
 * from where uf_source_open has it back. The memory is anonymous or shared memory of this process,
 * in use or not; what a pager serves has to be released first (uf_pager_release). Threads go on;
 * one that writes to a page that is not saved yet waits for that page. *pause_ns (or NULL): how
 * long writers were held up for the instant. -EINVAL, -EBUSY (another snapshot of it, or a
 * userfaultfd), -ENOSYS (no write-protection).
 */
int uf_snapshot_begin(struct uf_pager *pager, void *addr, size_t len, const char *target,
		      const struct uf_snapshot_options *options, struct uf_snapshot **snapshot,
		      uint64_t *pause_ns);
/* Until it is complete under its name, or has failed and left nothing; frees it. */
int uf_snapshot_finish(struct uf_snapshot *snapshot);
/* Gives it up; frees it. */
void uf_snapshot_cancel(struct uf_snapshot *snapshot);

/* ---- moving memory to another process, after it has gone there (post-copy)
 */

/* Both sides show a certificate, and check the other's against `ca`. Files in PEM. */
struct uf_tls {
	const char *certificate, *key, *ca;
	const char *peer; /* the name that the other's certificate must have; NULL: any that ca
			     signed */
};

/*
 * Sends [addr, addr + len) over the connected stream socket: contents as of this call, served on
 * demand and pushed in order. Threads that write to it wait until that page has gone. Returns when
 * the other side has all of it. tls NULL: in clear. -EPROTO, -EPERM (the certificate), -EPIPE (the
 * other side is gone; the memory is as it was).
 */
int uf_pager_send(struct uf_pager *pager, void *addr, size_t len, int socket,
		  const struct uf_tls *tls);
/*
 * The other side: *addr is memory with those contents, usable at once. uf_pager_wait tells when all
 * of it is here, and the socket no longer needed (it is duplicated).
 */
int uf_pager_receive(struct uf_pager *pager, int socket, const struct uf_tls *tls,
		     const struct uf_paged_options *options, void **addr, size_t *len,
		     struct uf_paged **paged);

#ifdef __cplusplus
}
#endif

#endif
