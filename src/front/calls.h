/*
 * calls.h - system calls whose arguments may point into managed memory.
 *
 * The kernel knows nothing of our page tables: it answers EFAULT where a handler is to be asked.
 * The table says which arguments of which call point where; from it the page that was in the way
 * is found and asked for, as the kernel would have, and the call is made again. Calls that have
 * done something by the time they write their answer write it into a buffer of ours.
 *
 *   calls.c        the two ways above
 *   calls_table.c  the table, one line a call
 *   calls_args.c   calls whose arguments depend on other arguments: futex, ioctl, prctl, ...
 *   calls_data.c   read, write and their kin
 *   calls_msg.c    messages: sendmsg, recvmsg and their kin
 *   calls_uring.c  requests that are queued: io_uring, io_submit
 */
#ifndef UF_FRONT_CALLS_H
#define UF_FRONT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "front/front.h"
#include "front/gate.h"

/*
 * The system call nr, with the program's managed memory taken care of: its result, or a negative
 * errno. For any number, but for those that return on another stack, or twice. Safe in a signal
 * handler; waits where the kernel would.
 */
long calls_do(long nr, const long a[6]);

/* May calls_do differ from the system call itself? For wrappers: two relaxed loads mostly. */
static inline bool calls_concern(const void *p, size_t n)
{
	return unlikely(front_managing()) && mem_near_managed(p, n);
}

/*
 * The call as libc's functions make it: a cancellation point, with errno. CALLS_POINT(nr, up to six
 * arguments).
 */
long calls_point(long nr, const long a[6]);
#define CALLS_POINT(...) CALLS_POINT_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define CALLS_POINT_(nr, a, b, c, d, e, f, ...)                                                    \
	calls_point(nr, (const long[6]){(long)(a), (long)(b), (long)(c), (long)(d), (long)(e),     \
					(long)(f)})

/* ---- What the files of calls share -------------------------------------------------------------
 */

enum calls_kind {
	CALLS_NONE,    /* no pointer */
	CALLS_FIXED,   /* `unit` bytes */
	CALLS_COUNT,   /* a[index] times `unit` bytes */
	CALLS_RESULT,  /* room as COUNT; written is the result times `unit` */
	CALLS_LENGTH,  /* a sockaddr: room for *(uint32_t *)a[index] bytes */
	CALLS_STRING,  /* up to a zero byte */
	CALLS_STRINGS, /* pointers to strings, up to a null pointer */
};

#define CALLS_IN   1u /* the kernel reads it */
#define CALLS_OUT  2u /* it writes it */
#define CALLS_EVEN 4u /* written even when the call is interrupted */
#define CALLS_REST 8u /* written, if at all, when it is interrupted */

struct calls_arg {
	uint8_t kind, flags, index;
	uint16_t unit;
};

enum calls_how {
	CALLS_PLAIN, /* nothing in it for us */
	CALLS_AGAIN, /* EFAULT comes before any effect: make the page, call again */
	CALLS_AFTER, /* writes when it is too late to fail: into a buffer of ours */
	CALLS_BY,    /* by its own function */
};

struct calls_row {
	uint8_t how;
	struct calls_arg arg[6];
	long (*by)(long nr, const long a[6]);
};

/* The row of a system call, or NULL. */
const struct calls_row *calls_row_of(long nr);

/* What stood between the kernel and a range of the program's memory. */
enum calls_found {
	CALLS_READY, /* nothing that we know of */
	CALLS_MADE,  /* a page that is there now, or may be */
	CALLS_BAD,   /* what will not go away: EFAULT */
};

/* Look for it in the order of addresses, ask for the first page that needs it. */
enum calls_found calls_make(uint64_t addr, uint64_t len, bool write);
enum calls_found calls_make_string(uint64_t addr);
enum calls_found calls_make_iov(const struct iovec *iov, size_t n, bool write);
/* What row says of a. */
enum calls_found calls_make_row(const struct calls_row *row, const long a[6]);

/* How often a call that finds nothing in its way is made again before EFAULT is believed. */
#define CALLS_TRIES 8

/* Is any of it managed now? */
bool calls_managed(uint64_t addr, uint64_t len);
/* As the kernel copies inside a system call: 0 or -EFAULT. */
int calls_copy_in(void *dst, uint64_t src, size_t len);
int calls_copy_out(uint64_t dst, const void *src, size_t len);

/* With the arguments that row describes. */
long calls_again(const struct calls_row *row, long nr, const long a[6]);
long calls_after(const struct calls_row *row, long nr, const long a[6]);

/* Memory for the time of a call: `small`, of the caller's stack, where it is enough. */
struct calls_room {
	void *at;
	size_t size;
	void *mapped;
};
bool calls_room_get(struct calls_room *room, void *small, size_t small_size, size_t want);
void calls_room_put(struct calls_room *room);
#define CALLS_ROOM __attribute__((cleanup(calls_room_put))) struct calls_room

/* ---- Rows that make up their mind at the call --------------------------------------------------
 */

long calls_futex(long nr, const long a[6]);
long calls_futex_waitv(long nr, const long a[6]);
long calls_ioctl(long nr, const long a[6]);
long calls_fcntl(long nr, const long a[6]);
long calls_prctl(long nr, const long a[6]);
long calls_ipc(long nr, const long a[6]);
long calls_select(long nr, const long a[6]);
long calls_mincore(long nr, const long a[6]);
long calls_read(long nr, const long a[6]);
long calls_write(long nr, const long a[6]);
long calls_process_vm(long nr, const long a[6]);
long calls_recv(long nr, const long a[6]);
long calls_send(long nr, const long a[6]);
long calls_many(long nr, const long a[6]);
long calls_uring_setup(long nr, const long a[6]);
long calls_uring_enter(long nr, const long a[6]);
/* What io_uring_enter(a) hands over is made ready, for one who makes the call himself. */
void calls_uring_ready(const long a[6]);
long calls_uring_register(long nr, const long a[6]);
long calls_io_submit(long nr, const long a[6]);

#endif
