/*
 * remote.h - userfaultfds of other address spaces: each operation is a request at the owner's door
 * (front/session.h). The functions do what those of uffd/uffd.h do for one's own.
 */
#ifndef UF_FRONT_REMOTE_H
#define UF_FRONT_REMOTE_H

#include "front/front.h"

/* The id of a userfaultfd, of whatever session; 0: fd is something else. */
uint64_t remote_fd_id(int fd);
/*
 * A file for a descriptor that has this id and is none of ours: with a reference, in *f. -ENXIO: of
 * another session, which is said on stderr; -ENOSYS: Userfault cannot start here.
 */
int remote_open(uint64_t id, int fd, struct file **f);

/* One look, which does not wait for a message. */
long remote_read(struct file *f, void *buf, size_t count);
int remote_ioctl(struct file *f, unsigned long cmd, uint64_t arg);
/* Until there may be something to read, or a signal's handler has run (-EINTR). Cancellable. */
int remote_sleep(struct file *f, int fd);
bool remote_ready(struct file *f);
unsigned remote_poll(struct file *f, bool nonblock);
size_t remote_fdinfo(struct file *f, char *buf, size_t size);

#endif
