/*
 * front.h - how programs get in: what the files of this room share.
 *
 *   libuserfault             api.c over the four below
 *   libuserfault-preload     the same, and the wrappers of libc's functions (preload.h)
 *
 *   start.c    environment, first use: machine, address space, userfaultfd
 *   files.c    descriptor number → file (a userfaultfd, and what else we must recognise)
 *   uffd_fd.c  create, recognise, read with spinning and sleeping, ioctl, poll
 *   session.h  the ledger that the processes of a session share; ledger.c this process's place in
 * it door.c     what other processes ask of this one; remote.c what this one asks of others
 *   memory.c   mmap and its kin on ranges that may be managed
 *
 * Inside, every function returns 0, a count or a negative errno; errno is set at the very edge.
 * Nothing here holds a lock while it waits, and every lock is taken inside mach_enter, so that a
 * signal handler may call any wrapper.
 */
#ifndef UF_FRONT_FRONT_H
#define UF_FRONT_FRONT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "front/sys.h"
#include "machine/host/host.h"
#include "mm/mm.h"
#include "uffd/uffd.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- start.c -----------------------------------------------------------------------------------
 */

/* Read the environment; once, from the constructor or whoever comes earlier. */
void front_environment(void);
/* Everything a first userfaultfd needs, in this process. 0 or -ENOSYS. */
int front_start(void);
/* Why front_start failed, or NULL. */
const char *front_why(void);
/* The kernel to look like; NULL: everything. */
const struct uffd_profile *front_profile(void);
/* In the child of a fork. live: it has its parent's memory to care for. */
void front_started_child(bool live);

/* Around a fork: before it, in the parent (also when it failed), in the child. fork.c */
void front_fork_begin(bool shares_files);
void front_fork_parent(void);
void front_fork_child(void);
/* For uffd_read_here. */
int front_fork_install(int hidden, int flags, void *unused);
/* Behind that read, with no locks held: know the descriptors. */
void front_fork_installed(void);
/* In the child: the descriptor of a context that the fork has made, for the parent; or -1. */
int ufd_child(uf_ref ctx);
/*
 * This process has its first userfaultfd: what the library does besides, and a sentence about it,
 * or NULL.
 */
const char *front_started(void);
/* May this process have more than one thread running at a time? Else spinning is in vain. */
bool front_many_cpus(void);

/* Has this process started? Then mm_space_self is its space. */
extern _Atomic bool front_live;

/* May some of the program's memory be managed? */
static inline bool front_managing(void)
{
	return unlikely(atomic_load_explicit(&front_live, memory_order_acquire)) &&
	       atomic_load_explicit(&mm_space_self->active, memory_order_relaxed);
}

/* ---- files.c -----------------------------------------------------------------------------------
 */

enum file_kind {
	FILE_UFFD = 1,
	FILE_DEV,     /* an open /dev/userfaultfd */
	FILE_PAGEMAP, /* an open /proc/self/pagemap */
	FILE_EPOLL,   /* an epoll instance that has a userfaultfd in it */
};

/* How well spinning went of late. */
#define SPIN_SCORE_MAX 256u
struct spin {
	_Atomic uint32_t score;
	_Atomic uint32_t skipped;
	_Atomic uint64_t aside_wait; /* ns between two steps aside */
	_Atomic uint64_t aside_next; /* when the next one may be */
};

struct epoll_item;
struct session_context;

struct file {
	_Atomic uint32_t refs; /* descriptors, operations in progress, and one while it is open */
	_Atomic uint32_t gen;
	enum file_kind kind;
	_Atomic bool foreign;  /* of another address space: remote.c */
	_Atomic bool nonblock; /* O_NONBLOCK, as the program last set it */
	_Atomic bool watched;  /* in an epoll set, or polled behind our back */
	_Atomic bool by_write; /* opened for write(2) to resolve faults */
	_Atomic bool making;   /* not all set up yet */
	_Atomic bool open;     /* not foreign: somebody has a descriptor, here or elsewhere */
	_Atomic bool dead;     /* foreign: its address space is gone */
	_Atomic uint32_t fds;  /* descriptors in this process's table */
	uf_ref ctx;	       /* not foreign */
	int hidden;	       /* the source of the descriptor's level, or -1 */
	uint64_t id;	       /* of the descriptor (front/session.h) */
	struct session_context *shown; /* what the ledger shows of it, or NULL */
	struct spin spin;
	struct mach_lock lock; /* items */
	struct epoll_item *items;
};

/* Is there anything in the table, or was there? */
extern _Atomic bool files_used;

/* A new file with one reference, or NULL. */
struct file *file_new(enum file_kind kind);
/* The file behind a descriptor, with a reference; NULL: not one of ours. */
struct file *file_get_slow(int fd);
void file_put(struct file *f);
/* Is it one of ours? To be called where vector registers must stay as they are. */
bool file_known(int fd);
/* fd is f from now on; takes a reference of its own. -EMFILE. */
int file_attach(int fd, struct file *f);
/*
 * fd is none of ours any more. To be called before the host's descriptor is closed; and
 * files_settle, which finds out whose last descriptor that was, behind it.
 */
void file_detach(int fd);
void files_settle(void);
bool files_any_loose(void);
/* The same for descriptors that went without a word, here or elsewhere. */
void files_look(void);
/* A userfaultfd of this address space: open, until files_settle or files_look find nobody. */
void file_open(struct file *f);
/* The name of a file, 24 bits, never 0; and the file that has it, with a reference, or NULL. */
uint32_t file_name(const struct file *f);
struct file *file_by_name(uint32_t name);
/* The same for [first, last]. */
void file_detach_range(unsigned first, unsigned last);
/* Call fn for each file of that kind. */
void file_each(enum file_kind kind, void (*fn)(struct file *f, void *arg), void *arg);
/* A fork begins; and in its child. */
void files_fork(void);
void files_child(void);
/* The calling process is the one they belong to, if none is yet. */
void files_own(void);
/* The calling process, a clone child in our memory, begins or ends to share our descriptors, too.
 */
void files_share(bool share);
/* Does the calling process share them (unlike the child of a vfork)? */
bool files_ours(void);
/* Called when a file goes, before it is reused. */
extern void (*file_gone)(struct file *f);

static inline struct file *file_get(int fd)
{
	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)))
		return NULL;
	return file_get_slow(fd);
}

/* A reference that a cancelled or jumped-out-of call gives back too. */
static inline void file_put_cleanup(struct file **f)
{
	if (*f)
		file_put(*f);
}
#define FILE_REF __attribute__((cleanup(file_put_cleanup)))

/* Of that kind, or NULL, the reference dropped. */
static inline struct file *file_get_kind(int fd, enum file_kind kind)
{
	struct file *f = file_get(fd);

	if (unlikely(f != NULL) && f->kind != kind) {
		file_put(f);
		f = NULL;
	}
	return f;
}

/* ---- uffd_fd.c ---------------------------------------------------------------------------------
 */

/* userfaultfd(2), and what /dev/userfaultfd gives: a descriptor or a negative errno. */
int ufd_new(int flags);
/*
 * fd, which the table does not know, may be a duplicate made behind our back, or come from another
 * process. In *f the file, with a reference, or NULL; and an error when it is a userfaultfd that
 * cannot be used here: -ENXIO, it is of another session. Slow.
 */
int ufd_recognise(int fd, struct file **f);
/* read(2), blocking as the descriptor does. A cancellation point. */
long ufd_read(struct file *f, int fd, void *buf, size_t count);
long ufd_readv(struct file *f, int fd, const struct iovec *iov, int n);
/* Structs uf_resolve in buf: bytes consumed, or what went wrong with the first. */
long ufd_write(struct file *f, const void *buf, size_t count);
/* ioctl(2). */
int ufd_ioctl(struct file *f, int fd, unsigned long cmd, uint64_t arg);
/*
 * What the address space itself does of it, on memory of ours: for others, who asked at the door.
 * by: whose thread it was; 0: the calling one.
 */
int ufd_ioctl_here(struct file *f, unsigned long cmd, uint64_t arg, uint32_t by);
unsigned ufd_poll(struct file *f);
/* Is something to be read? */
bool ufd_ready(struct file *f);
/* The descriptor's text in /proc/PID/fdinfo; its length. */
size_t ufd_fdinfo(struct file *f, char *buf, size_t size);
/* The descriptor may be on its way to another process. */
void ufd_leaves(struct file *f);
/* Any of them may be: before a fork, or an exec. */
void ufd_leave_all(void);
/* All that are made from now on are: another process shares the table of descriptors. */
void ufd_all_leave(void);
/* write(2) resolves faults. */
void ufd_by_write(struct file *f, bool on);
/* Its last reference is gone. */
void ufd_gone(struct file *f);
/* Somebody may look at the descriptor without us. */
void ufd_watch(struct file *f);
/* O_NONBLOCK may have changed. */
void ufd_refresh(struct file *f, int fd);

/*
 * Spin until one of the n files has something to read, while(!stop(arg)); false when it took too
 * long or is not worth while.
 */
bool ufd_spin(struct file *const *f, unsigned n, bool (*stop)(void *), void *arg, uint64_t most_ns);

/* As uffd_sleep_begin, uffd_sleep_end. */
bool ufd_sleep_begin(struct file *f);
void ufd_sleep_end(struct file *f, bool taken);

/*
 * What differs between the two libraries: the C library's own read, a cancellation point; and
 * sigaction, with the program's view of SIGSEGV.
 */
struct sigaction;
struct pollfd;
ssize_t front_read(int fd, void *buf, size_t count);
int front_poll(struct pollfd *fds, unsigned long n, int timeout);
/*
 * Sleep while *word is `value`: 0 or a negative errno. Restarted behind a handler, or not, as the
 * program has it with SA_RESTART.
 */
int front_sleep(_Atomic uint32_t *word, uint32_t value);
int front_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/* ---- memory.c ----------------------------------------------------------------------------------
 */

/* As the system calls of these names: a result or a negative errno. */
long mem_mmap(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off);
/* The same without a look at huge pages. */
long mem_mmap_plain(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off);
long mem_mremap_plain(uint64_t old, size_t old_len, size_t new_len, int flags, uint64_t new_addr);
int mem_munmap(uint64_t addr, size_t len);
long mem_mremap(uint64_t old, size_t old_len, size_t new_len, int flags, uint64_t new_addr);
int mem_mprotect(uint64_t addr, size_t len, int prot);
/* madvise(MADV_REMOVE) of whole pages that are not managed, of files which managed ones may show.
 */
int mem_remove(uint64_t addr, uint64_t len);
int mem_madvise(uint64_t addr, size_t len, int advice);
long mem_process_madvise(int pidfd, const struct iovec *iov, size_t n, int advice, unsigned flags);
int mem_mlock(uint64_t addr, size_t len, bool on_fault);
int mem_munlock(uint64_t addr, size_t len);
int mem_mlockall(int flags);
int mem_munlockall(void);
/*
 * A system call is about to access the buffer: what is there in managed memory must be open, for
 * the kernel cannot trap. False when a handler would be asked for some of it. Cheap when nothing
 * near the buffer is managed.
 */
bool mem_open(const void *buf, size_t n, bool write);
/* Could some of it be managed at all? */
bool mem_near_managed(const void *buf, size_t n);
/* That range is, or is about to be, managed. */
void mem_note_managed(uint64_t addr, uint64_t len);
/* The managed memory at addr; false: there is none. */
bool mem_area_at(uint64_t addr, struct mm_area_info *info);
/* shmat of a segment of len bytes. */
long mem_shmat(int id, uint64_t addr, int flags, uint64_t len);
/* The host has unmapped what stood at addr, without a word to mm. */
void mem_unmapped_behind(uint64_t addr);
/* The break is about to go down from `from` to `to`. */
int mem_brk_down(uint64_t from, uint64_t to);
/* Nothing maps what the host has locked for the future behind the program's back. */
void mem_before_start(void);

#endif
