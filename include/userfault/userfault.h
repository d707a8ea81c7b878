/*
 * userfault/userfault.h - userfaultfd in user space, as a library.
 *
 * Two ways to serve faults on a range of private anonymous memory:
 *
 *   a descriptor  uf_open, uf_ioctl (UF_IO_* of abi.h), uf_read: the kernel's userfaultfd, call for
 *                 call. The descriptor is a real one: poll, epoll, dup and fcntl work on it. It is
 *                 closed with uf_close.
 *   a callback    uf_handle: a function that runs on the faulting thread, fills the page and
 *                 returns; no other thread, no switch.
 *
 * Memory under management is mapped, unmapped, protected and advised through uf_mmap and its kin,
 * or mapped natively and told about with uf_ioctl(UF_IO_REGISTER) or uf_handle, as long as munmap,
 * mremap, mprotect and madvise on it go through the calls below.
 *
 * The library takes SIGSEGV: a program that wants to handle it too installs its handler before the
 * first call here, or with uf_sigaction. Threads must not block SIGSEGV.
 *
 * Every call returns 0 or a count, or a negative errno; none sets errno. All are thread-safe. Under
 * `userfault run` the calls act on the same instance as the program's system calls.
 */
#ifndef USERFAULT_H
#define USERFAULT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <userfault/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * userfaultfd(2). flags: O_CLOEXEC, O_NONBLOCK, UF_USER_MODE_ONLY. Returns a descriptor. -EINVAL,
 * -EMFILE, -ENFILE, -ENOMEM; -ENOSYS when this machine offers no trap (uf_why says so in words).
 */
int uf_open(int flags);

/* One sentence on why the last uf_open or uf_handle of the process failed to start, or NULL. */
const char *uf_why(void);

/* ioctl(2) on it: the UF_IO_* of abi.h, with the kernel's errors. -EBADF if fd is not ours. */
int uf_ioctl(int fd, unsigned long request, void *arg);

/* read(2) on it: whole messages. Blocks if the descriptor does, and is then interrupted (-EINTR).
 */
ssize_t uf_read(int fd, void *buf, size_t count);

/* close(2) on it. */
int uf_close(int fd);

/* mmap(2) and its kin, for memory that is, was or will be under management. Any memory is welcome.
 */
void *uf_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset, int *error);
int uf_munmap(void *addr, size_t len);
void *uf_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr, int *error);
int uf_mprotect(void *addr, size_t len, int prot);
int uf_madvise(void *addr, size_t len, int advice);

/* sigaction(2) for a program that handles SIGSEGV itself. */
int uf_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/* ---- The callback ------------------------------------------------------------------------------
 */

struct uf_fault {
	uint64_t address; /* exact */
	uint64_t page;	  /* start of the page */
	uint64_t flags;	  /* UF_PAGEFAULT_FLAG_* */
};

/*
 * Called on the faulting thread, with signals blocked. Resolves the fault by one of the uf_fill_
 * calls on any range that contains the page, and returns 0; the access is then done again. A
 * negative errno gives the access SIGBUS. It may touch managed memory itself, of other handlers
 * too; it must not take a lock that code which touches the range may hold.
 */
typedef int (*uf_handler_fn)(const struct uf_fault *fault, void *arg);

/* Serve [addr, addr + len) with fn. modes: UF_REGISTER_MODE_*. Errors as REGISTER; *out names it.
 */
struct uf_handler;
int uf_handle(void *addr, size_t len, uint64_t modes, uf_handler_fn fn, void *arg,
	      struct uf_handler **out);
/*
 * The range becomes ordinary memory with the contents it has. No callback runs when it returns, so
 * it must not be called from one of h.
 */
int uf_unhandle(struct uf_handler *h);

/* Fill pages of the range (page-aligned): bytes done, or a negative errno when none was. */
ssize_t uf_fill_copy(struct uf_handler *h, void *dst, const void *src, size_t len);
ssize_t uf_fill_zero(struct uf_handler *h, void *dst, size_t len);
ssize_t uf_fill_poison(struct uf_handler *h, void *dst, size_t len);
/* Write-protect (set != 0) or release pages. 0 or a negative errno. */
int uf_write_protect(struct uf_handler *h, void *addr, size_t len, int set);
/* The same for all accesses (UF_REGISTER_MODE_RWP). */
int uf_rw_protect(struct uf_handler *h, void *addr, size_t len, int set);

/* ---- Statistics --------------------------------------------------------------------------------
 */

struct uf_stats {
	uint64_t faults_missing, faults_wp, faults_minor, faults_rwp; /* given to a handler */
	uint64_t faults_tlb, faults_ordinary, faults_sigbus;
	uint64_t pages_filled;
	uint64_t latency_p50_ns, latency_p99_ns, latency_max_ns;
	uint64_t mappings, mappings_budget;
};
void uf_get_stats(struct uf_stats *out);

#ifdef __cplusplus
}
#endif
#endif
