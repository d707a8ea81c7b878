/*
 * calls_data.h - the program's data in pieces, for system calls that move it.
 */
#ifndef UF_FRONT_CALLS_DATA_H
#define UF_FRONT_CALLS_DATA_H

#include "front/calls.h"

/* A copy of a vector of the program's, which gets shorter as data is moved. */
struct pieces {
	struct iovec *iov;
	size_t n;
	bool write; /* the kernel writes to it */
	struct iovec few[8];
	struct calls_room room;
};

static inline void pieces_put(struct pieces *p)
{
	calls_room_put(&p->room);
}
#define PIECES __attribute__((cleanup(pieces_put))) struct pieces

/* Fetch the vector: -EFAULT, -EINVAL, -ENOMEM. Or make one of a single buffer. */
long pieces_get(struct pieces *p, uint64_t iov, uint64_t n);
void pieces_one(struct pieces *p, uint64_t addr, uint64_t len);
uint64_t pieces_size(const struct pieces *p);
/* The first len bytes are done with. */
void pieces_skip(struct pieces *p, uint64_t len);
/* Is any of it managed? */
bool pieces_managed(const struct pieces *p);
/* Open what is there; is all of it ready? */
bool pieces_ready(const struct pieces *p);
/* Ask for what is in the way. */
enum calls_found pieces_make(const struct pieces *p);
/* Copy into it or from it, as far as it can be accessed, and skip that. How much. */
uint64_t pieces_copy(struct pieces *p, char *buf, uint64_t len);
/* After a call on it that returned ret: is it to be made again for the rest? */
bool pieces_go_on(struct pieces *p, int fd, long ret, uint64_t *done, unsigned *tries);
/* Does the kernel keep what comes from there when it cannot be stored? And is it a file? */
bool calls_keeps(int fd, bool *file);

#endif
