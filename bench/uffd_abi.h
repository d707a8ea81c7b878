/* SPDX-License-Identifier: MIT */
/*
 * The part of the userfaultfd ABI these programs use, written out so that they build against any
 * kernel headers.
 */
#ifndef BENCH_UFFD_ABI_H
#define BENCH_UFFD_ABI_H

#include <stdint.h>
#include <sys/ioctl.h>

#define UFFD_API_VERSION    0xaaULL
#define UFFD_USER_MODE_ONLY 1

#define UFFD_FEATURE_PAGEFAULT_FLAG_WP	(1ULL << 0)
#define UFFD_FEATURE_EVENT_REMOVE	(1ULL << 3)
#define UFFD_FEATURE_SIGBUS		(1ULL << 7)
#define UFFD_FEATURE_MINOR_HUGETLBFS	(1ULL << 9)
#define UFFD_FEATURE_MINOR_SHMEM	(1ULL << 10)
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1ULL << 12)

#define UFFD_EVENT_PAGEFAULT 0x12

#define UFFDIO_REGISTER_MODE_MISSING 1ULL
#define UFFDIO_REGISTER_MODE_WP	     2ULL
#define UFFDIO_REGISTER_MODE_MINOR   4ULL
#define UFFDIO_WRITEPROTECT_MODE_WP  1ULL

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

struct uffdio_copy {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t copy;
};

struct uffdio_continue {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped;
};

struct uffdio_writeprotect {
	struct uffdio_range range;
	uint64_t mode;
};

struct uffd_msg {
	uint8_t event;
	uint8_t reserved[7];
	struct {
		uint64_t flags;
		uint64_t address;
		uint64_t thread;
	} pagefault;
};

_Static_assert(sizeof(struct uffd_msg) == 32, "a message is 32 bytes");

#define UFFDIO_API	    _IOWR(0xaa, 0x3f, struct uffdio_api)
#define UFFDIO_REGISTER	    _IOWR(0xaa, 0x00, struct uffdio_register)
#define UFFDIO_UNREGISTER   _IOR(0xaa, 0x01, struct uffdio_range)
#define UFFDIO_COPY	    _IOWR(0xaa, 0x03, struct uffdio_copy)
#define UFFDIO_CONTINUE	    _IOWR(0xaa, 0x07, struct uffdio_continue)
#define UFFDIO_WRITEPROTECT _IOWR(0xaa, 0x06, struct uffdio_writeprotect)

#endif
