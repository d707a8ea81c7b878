/* SPDX-License-Identifier: MIT */
/*
 * The userfaultfd ABI as the tests use it: the numbers and layouts of Linux 6.18, and of the
 * read-write-protect mode that follows it. The tests bring their own because the headers of a
 * distribution are often older than the kernel that runs.
 */
#ifndef UFFD_ABI_H
#define UFFD_ABI_H

#include <stdint.h>
#include <sys/ioctl.h>

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

#define UFFD_API	    0xAAull
#define UFFD_USER_MODE_ONLY 1

#define UFFD_FEATURE_PAGEFAULT_FLAG_WP	(1ull << 0)
#define UFFD_FEATURE_EVENT_FORK		(1ull << 1)
#define UFFD_FEATURE_EVENT_REMAP	(1ull << 2)
#define UFFD_FEATURE_EVENT_REMOVE	(1ull << 3)
#define UFFD_FEATURE_MISSING_HUGETLBFS	(1ull << 4)
#define UFFD_FEATURE_MISSING_SHMEM	(1ull << 5)
#define UFFD_FEATURE_EVENT_UNMAP	(1ull << 6)
#define UFFD_FEATURE_SIGBUS		(1ull << 7)
#define UFFD_FEATURE_THREAD_ID		(1ull << 8)
#define UFFD_FEATURE_MINOR_HUGETLBFS	(1ull << 9)
#define UFFD_FEATURE_MINOR_SHMEM	(1ull << 10)
#define UFFD_FEATURE_EXACT_ADDRESS	(1ull << 11)
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1ull << 12)
#define UFFD_FEATURE_WP_UNPOPULATED	(1ull << 13)
#define UFFD_FEATURE_POISON		(1ull << 14)
#define UFFD_FEATURE_WP_ASYNC		(1ull << 15)
#define UFFD_FEATURE_MOVE		(1ull << 16)
#define UFFD_FEATURE_RWP		(1ull << 17)
#define UFFD_FEATURE_RWP_ASYNC		(1ull << 18)

struct uffdio_range {
	uint64_t start;
	uint64_t len;
};

struct uffdio_api {
	uint64_t api;
	uint64_t features;
	uint64_t ioctls;
};

struct uffdio_register {
	struct uffdio_range range;
	uint64_t mode;
	uint64_t ioctls;
};

/* COPY and MOVE share a layout, and so do ZEROPAGE, CONTINUE and POISON. */
struct uffdio_copy {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t copy;
};

struct uffdio_zeropage {
	struct uffdio_range range;
	uint64_t mode;
	int64_t zeropage;
};

struct uffdio_writeprotect {
	struct uffdio_range range;
	uint64_t mode;
};

struct uffdio_set_mode {
	uint64_t enable;
	uint64_t disable;
};

#define _UFFDIO_REGISTER     0x00
#define _UFFDIO_UNREGISTER   0x01
#define _UFFDIO_WAKE	     0x02
#define _UFFDIO_COPY	     0x03
#define _UFFDIO_ZEROPAGE     0x04
#define _UFFDIO_MOVE	     0x05
#define _UFFDIO_WRITEPROTECT 0x06
#define _UFFDIO_CONTINUE     0x07
#define _UFFDIO_POISON	     0x08
#define _UFFDIO_RWPROTECT    0x09
#define _UFFDIO_SET_MODE     0x0A
#define _UFFDIO_API	     0x3F

#define UFFDIO_API	    _IOWR(0xAA, _UFFDIO_API, struct uffdio_api)
#define UFFDIO_REGISTER	    _IOWR(0xAA, _UFFDIO_REGISTER, struct uffdio_register)
#define UFFDIO_UNREGISTER   _IOR(0xAA, _UFFDIO_UNREGISTER, struct uffdio_range)
#define UFFDIO_WAKE	    _IOR(0xAA, _UFFDIO_WAKE, struct uffdio_range)
#define UFFDIO_COPY	    _IOWR(0xAA, _UFFDIO_COPY, struct uffdio_copy)
#define UFFDIO_ZEROPAGE	    _IOWR(0xAA, _UFFDIO_ZEROPAGE, struct uffdio_zeropage)
#define UFFDIO_MOVE	    _IOWR(0xAA, _UFFDIO_MOVE, struct uffdio_copy)
#define UFFDIO_WRITEPROTECT _IOWR(0xAA, _UFFDIO_WRITEPROTECT, struct uffdio_writeprotect)
#define UFFDIO_CONTINUE	    _IOWR(0xAA, _UFFDIO_CONTINUE, struct uffdio_zeropage)
#define UFFDIO_POISON	    _IOWR(0xAA, _UFFDIO_POISON, struct uffdio_zeropage)
#define UFFDIO_RWPROTECT    _IOWR(0xAA, _UFFDIO_RWPROTECT, struct uffdio_writeprotect)
#define UFFDIO_SET_MODE	    _IOW(0xAA, _UFFDIO_SET_MODE, struct uffdio_set_mode)

#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)

#define UFFDIO_REGISTER_MODE_MISSING (1ull << 0)
#define UFFDIO_REGISTER_MODE_WP	     (1ull << 1)
#define UFFDIO_REGISTER_MODE_MINOR   (1ull << 2)
#define UFFDIO_REGISTER_MODE_RWP     (1ull << 3)

#define UFFDIO_COPY_MODE_DONTWAKE	  (1ull << 0)
#define UFFDIO_COPY_MODE_WP		  (1ull << 1)
#define UFFDIO_ZEROPAGE_MODE_DONTWAKE	  (1ull << 0)
#define UFFDIO_POISON_MODE_DONTWAKE	  (1ull << 0)
#define UFFDIO_WRITEPROTECT_MODE_WP	  (1ull << 0)
#define UFFDIO_WRITEPROTECT_MODE_DONTWAKE (1ull << 1)
#define UFFDIO_RWPROTECT_MODE_RWP	  (1ull << 0)
#define UFFDIO_RWPROTECT_MODE_DONTWAKE	  (1ull << 1)
#define UFFDIO_MOVE_MODE_DONTWAKE	  (1ull << 0)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES  (1ull << 1)

struct uffd_msg {
	uint8_t event;
	uint8_t reserved1;
	uint16_t reserved2;
	uint32_t reserved3;
	union {
		struct {
			uint64_t flags;
			uint64_t address;
			uint32_t ptid;
		} pagefault;
		struct {
			uint64_t from;
			uint64_t to;
			uint64_t len;
		} remap;
		struct {
			uint64_t start;
			uint64_t end;
		} remove;
		uint64_t raw[3];
	};
};

_Static_assert(sizeof(struct uffd_msg) == 32, "a message has 32 bytes");

#define UFFD_EVENT_PAGEFAULT 0x12
#define UFFD_EVENT_FORK	     0x13
#define UFFD_EVENT_REMAP     0x14
#define UFFD_EVENT_REMOVE    0x15
#define UFFD_EVENT_UNMAP     0x16

#define UFFD_PAGEFAULT_FLAG_WRITE (1ull << 0)
#define UFFD_PAGEFAULT_FLAG_WP	  (1ull << 1)
#define UFFD_PAGEFAULT_FLAG_MINOR (1ull << 2)
#define UFFD_PAGEFAULT_FLAG_RWP	  (1ull << 3)

/* /proc/PID/pagemap entries */
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_EXCLUSIVE  (1ull << 56)
#define PM_UFFD_WP    (1ull << 57)
#define PM_FILE	      (1ull << 61)
#define PM_SWAP	      (1ull << 62)
#define PM_PRESENT    (1ull << 63)

/* The PAGEMAP_SCAN ioctl of a pagemap descriptor */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

_Static_assert(sizeof(struct scan_arg) == 96, "the scan's argument has 96 bytes");

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)

#define SCAN_WP_MATCHING   (1ull << 0)
#define SCAN_CHECK_WPASYNC (1ull << 1)

#define CAT_WPALLOWED  (1ull << 0)
#define CAT_WRITTEN    (1ull << 1)
#define CAT_FILE       (1ull << 2)
#define CAT_PRESENT    (1ull << 3)
#define CAT_SWAPPED    (1ull << 4)
#define CAT_PFNZERO    (1ull << 5)
#define CAT_HUGE       (1ull << 6)
#define CAT_SOFT_DIRTY (1ull << 7)
#define CAT_GUARD      (1ull << 8)
#define CAT_ACCESSED   (1ull << 9)

#endif
