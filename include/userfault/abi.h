/*
 * userfault/abi.h - the userfaultfd ABI: Linux 7.2's, and the read-write-protect mode that follows
 * it. Same values and layouts as the kernel's, whatever headers this machine has. Names carry a
 * UF_ prefix so that both can be included.
 */
#ifndef USERFAULT_ABI_H
#define USERFAULT_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UF_API 0xAAull

/* userfaultfd(2) flag; O_CLOEXEC and O_NONBLOCK are the others. */
#define UF_USER_MODE_ONLY 1

/* ioctl on /dev/userfaultfd */
#define UF_IOC_NEW 0xAA00u

/* ioctls on a userfaultfd. Their number (the low byte) is their bit in the `ioctls` masks. */
#define UF_IO_API	   0xC018AA3Fu
#define UF_IO_REGISTER	   0xC020AA00u
#define UF_IO_UNREGISTER   0x8010AA01u
#define UF_IO_WAKE	   0x8010AA02u
#define UF_IO_COPY	   0xC028AA03u
#define UF_IO_ZEROPAGE	   0xC020AA04u
#define UF_IO_MOVE	   0xC028AA05u
#define UF_IO_WRITEPROTECT 0xC018AA06u
#define UF_IO_CONTINUE	   0xC020AA07u
#define UF_IO_POISON	   0xC020AA08u
#define UF_IO_RWPROTECT	   0xC018AA09u
#define UF_IO_SET_MODE	   0x4010AA0Au

#define UF_NR_REGISTER	   0x00
#define UF_NR_UNREGISTER   0x01
#define UF_NR_WAKE	   0x02
#define UF_NR_COPY	   0x03
#define UF_NR_ZEROPAGE	   0x04
#define UF_NR_MOVE	   0x05
#define UF_NR_WRITEPROTECT 0x06
#define UF_NR_CONTINUE	   0x07
#define UF_NR_POISON	   0x08
#define UF_NR_RWPROTECT	   0x09
#define UF_NR_SET_MODE	   0x0A
#define UF_NR_API	   0x3F

/* features */
#define UF_FEATURE_PAGEFAULT_FLAG_WP  (1ull << 0)
#define UF_FEATURE_EVENT_FORK	      (1ull << 1)
#define UF_FEATURE_EVENT_REMAP	      (1ull << 2)
#define UF_FEATURE_EVENT_REMOVE	      (1ull << 3)
#define UF_FEATURE_MISSING_HUGETLBFS  (1ull << 4)
#define UF_FEATURE_MISSING_SHMEM      (1ull << 5)
#define UF_FEATURE_EVENT_UNMAP	      (1ull << 6)
#define UF_FEATURE_SIGBUS	      (1ull << 7)
#define UF_FEATURE_THREAD_ID	      (1ull << 8)
#define UF_FEATURE_MINOR_HUGETLBFS    (1ull << 9)
#define UF_FEATURE_MINOR_SHMEM	      (1ull << 10)
#define UF_FEATURE_EXACT_ADDRESS      (1ull << 11)
#define UF_FEATURE_WP_HUGETLBFS_SHMEM (1ull << 12)
#define UF_FEATURE_WP_UNPOPULATED     (1ull << 13)
#define UF_FEATURE_POISON	      (1ull << 14)
#define UF_FEATURE_WP_ASYNC	      (1ull << 15)
#define UF_FEATURE_MOVE		      (1ull << 16)
#define UF_FEATURE_RWP		      (1ull << 17)
#define UF_FEATURE_RWP_ASYNC	      (1ull << 18)

struct uf_range {
	uint64_t start;
	uint64_t len;
};

struct uf_api {
	uint64_t api;
	uint64_t features;
	uint64_t ioctls;
};

#define UF_REGISTER_MODE_MISSING 1ull
#define UF_REGISTER_MODE_WP	 2ull
#define UF_REGISTER_MODE_MINOR	 4ull
#define UF_REGISTER_MODE_RWP	 8ull

struct uf_register {
	struct uf_range range;
	uint64_t mode;
	uint64_t ioctls;
};

#define UF_COPY_MODE_DONTWAKE 1ull
#define UF_COPY_MODE_WP	      2ull

struct uf_copy {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t copy;
};

#define UF_ZEROPAGE_MODE_DONTWAKE 1ull

struct uf_zeropage {
	struct uf_range range;
	uint64_t mode;
	int64_t zeropage;
};

#define UF_WRITEPROTECT_MODE_WP	      1ull
#define UF_WRITEPROTECT_MODE_DONTWAKE 2ull

struct uf_writeprotect {
	struct uf_range range;
	uint64_t mode;
};

#define UF_CONTINUE_MODE_DONTWAKE 1ull
#define UF_CONTINUE_MODE_WP	  2ull

struct uf_continue {
	struct uf_range range;
	uint64_t mode;
	int64_t mapped;
};

#define UF_POISON_MODE_DONTWAKE 1ull

struct uf_poison {
	struct uf_range range;
	uint64_t mode;
	int64_t updated;
};

#define UF_MOVE_MODE_DONTWAKE	     1ull
#define UF_MOVE_MODE_ALLOW_SRC_HOLES 2ull

struct uf_move {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t move;
};

#define UF_RWPROTECT_MODE_RWP	   1ull
#define UF_RWPROTECT_MODE_DONTWAKE 2ull

struct uf_rwprotect {
	struct uf_range range;
	uint64_t mode;
};

struct uf_set_mode {
	uint64_t enable;
	uint64_t disable;
};

/* messages */
#define UF_EVENT_PAGEFAULT 0x12
#define UF_EVENT_FORK	   0x13
#define UF_EVENT_REMAP	   0x14
#define UF_EVENT_REMOVE	   0x15
#define UF_EVENT_UNMAP	   0x16

#define UF_PAGEFAULT_FLAG_WRITE 1ull
#define UF_PAGEFAULT_FLAG_WP	2ull
#define UF_PAGEFAULT_FLAG_MINOR 4ull
#define UF_PAGEFAULT_FLAG_RWP	8ull

struct uf_msg {
	uint8_t event;
	uint8_t reserved1;
	uint16_t reserved2;
	uint32_t reserved3;
	union {
		struct {
			uint64_t flags;
			uint64_t address;
			uint32_t ptid;
			uint32_t reserved;
		} pagefault;
		struct {
			uint32_t ufd;
		} fork;
		struct {
			uint64_t from;
			uint64_t to;
			uint64_t len;
		} remap;
		struct {
			uint64_t start;
			uint64_t end;
		} remove;
		struct {
			uint64_t reserved1;
			uint64_t reserved2;
			uint64_t reserved3;
		} reserved;
	} arg;
};

#ifdef __cplusplus
}
#endif
#endif
