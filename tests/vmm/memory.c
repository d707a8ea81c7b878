#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../abi/uffd_abi.h"

#define HUGE	    (2ul << 20)
#define HOLE_END    (4ull << 30) /* below it are the devices, from 3 GiB on */
#define HOLE_BEGIN  (3ull << 30)
#define DEVICE_OPEN _IO(0xAA, 0x00)

static size_t page_size(const struct vm *vm)
{
	return vm->options->huge ? HUGE : PAGE;
}

/* Fresh addresses, aligned to a huge page and with unmapped ones on either side. */
static char *addresses(size_t size)
{
	char *all = mmap(NULL, size + 3 * HUGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((uintptr_t)all + 2 * HUGE - 1) & ~(HUGE - 1));

	if (all == MAP_FAILED)
		give_up(STATUS_WRONG, "no addresses for %zu bytes: %m", size);
	munmap(all, (size_t)(at - all));
	munmap(at + size, (size_t)(all + size + 3 * HUGE - (at + size)));
	return at;
}

static char *map_region(struct vm *vm, size_t size, off_t offset)
{
	/* Huge pages are reserved: there may be fewer when they are touched. */
	int flags = vm->options->huge ? MAP_HUGETLB | 21 << 26 /* 2 MiB */ : MAP_NORESERVE;
	char *at = addresses(size), *p;

	if (vm->memfd >= 0)
		p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, vm->memfd,
			 offset);
	else
		p = mmap(at, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
	if (p == MAP_FAILED)
		give_up(errno == ENOMEM && vm->options->huge ? STATUS_SKIP : STATUS_WRONG,
			"no %s memory: %m", vm->options->huge ? "huge" : "guest");
	return p;
}

/* The first region begins at 0 and ends before the devices, the others follow behind those. */
static void make_regions(struct vm *vm)
{
	const struct options *o = vm->options;
	uint64_t unit = vm->unit * PAGE, each, done = 0, gpa = HOLE_END;

	each = vm->pages * PAGE / o->regions / unit * unit;
	if (each == 0 || each > HOLE_BEGIN)
		give_up(STATUS_USAGE, "%ju pages cannot be in %u regions", (uintmax_t)vm->pages,
			o->regions);
	for (unsigned i = 0; i < o->regions; i++) {
		struct region *r = &vm->region[i];

		r->size = i + 1 < o->regions ? each : vm->pages * PAGE - done;
		r->offset = done;
		r->hva = map_region(vm, r->size, (off_t)(o->offset + done));
		r->gpa = i == 0 ? 0 : gpa;
		if (i > 0)
			gpa += (r->size + 2 * HUGE) & ~(HUGE - 1);
		done += r->size;
	}
	vm->nregions = o->regions;
}

static void open_uffd(struct vm *vm)
{
	uint64_t events = UFFD_FEATURE_EVENT_REMOVE;
	struct uffdio_api api = {.api = UFFD_API};
	int device;

	if (vm->options->forks)
		events |= UFFD_FEATURE_EVENT_FORK;
	if (vm->options->moves)
		events |= UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP;
	if (vm->options->minor)
		events |= UFFD_FEATURE_MINOR_SHMEM;
	if (vm->options->device) {
		device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		vm->uffd = device < 0 ? -1 : ioctl(device, DEVICE_OPEN, O_CLOEXEC | O_NONBLOCK);
		if (device >= 0)
			close(device);
	} else {
		vm->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	}
	if (vm->uffd < 0)
		give_up(STATUS_SKIP, "there is no userfaultfd here: %m");
	api.features = events;
	if (ioctl(vm->uffd, UFFDIO_API, &api) != 0)
		give_up(errno == EPERM ? STATUS_SKIP : STATUS_WRONG,
			"the userfaultfd lacks features of %#jx: %m", (uintmax_t)events);
}

static void register_range(struct vm *vm, char *at, size_t size)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)at, .len = size},
		.mode = UFFDIO_REGISTER_MODE_MISSING |
			(vm->options->minor ? UFFDIO_REGISTER_MODE_MINOR : 0),
	};

	if (ioctl(vm->uffd, UFFDIO_REGISTER, &reg) != 0)
		give_up(STATUS_WRONG, "cannot register %zu bytes at %p: %m", size, (void *)at);
}

static void make_scratch(struct vm *vm)
{
	size_t size = SCRATCH_PAGES * PAGE;

	vm->scratch_at[0] = map_region(vm, size, (off_t)(vm->options->offset + vm->pages * PAGE));
	vm->scratch_at[1] = addresses(size);
	vm->scratch = vm->scratch_at[0];
	register_range(vm, vm->scratch, size);
}

void memory_make(struct vm *vm)
{
	const struct options *o = vm->options;
	uint64_t pages = o->pages + (o->moves ? SCRATCH_PAGES : 0);

	vm->unit = page_size(vm) / PAGE;
	vm->pages = o->pages;
	vm->memfd = -1;
	if (vm->pages % vm->unit)
		give_up(STATUS_USAGE, "huge pages have %ju small ones", (uintmax_t)vm->unit);
	if (o->minor) {
		vm->memfd = memfd_create("guest", MFD_CLOEXEC | (o->huge ? MFD_HUGETLB : 0));
		if (vm->memfd < 0 || ftruncate(vm->memfd, (off_t)(o->offset + pages * PAGE)) != 0)
			give_up(STATUS_WRONG, "no memory file for the guest: %m");
	}
	make_regions(vm);
	open_uffd(vm);
	for (unsigned i = 0; i < vm->nregions; i++)
		register_range(vm, vm->region[i].hva, vm->region[i].size);
	if (o->moves)
		make_scratch(vm);
}

static int describe(const struct vm *vm, char *text, size_t size, const char *hva, uint64_t bytes,
		    uint64_t offset)
{
	return snprintf(text, size,
			"{\"base_host_virt_addr\":%ju,\"size\":%ju,\"offset\":%ju,"
			"\"page_size\":%zu,\"page_size_kib\":%zu}",
			(uintmax_t)(uintptr_t)hva, (uintmax_t)bytes,
			(uintmax_t)(vm->options->offset + offset), page_size(vm), page_size(vm));
}

static size_t compose(const struct vm *vm, char *text, size_t size)
{
	size_t n = 0;

	text[n++] = '[';
	for (unsigned i = 0; i < vm->nregions; i++) {
		const struct region *r =
			&vm->region[vm->options->reverse ? vm->nregions - 1 - i : i];

		if (i > 0)
			text[n++] = ',';
		n += (size_t)describe(vm, text + n, size - n, r->hva, r->size, r->offset);
	}
	if (vm->scratch) {
		text[n++] = ',';
		n += (size_t)describe(vm, text + n, size - n, vm->scratch, SCRATCH_PAGES * PAGE,
				      vm->pages * PAGE);
	}
	text[n++] = ']';
	return n;
}

void memory_send(struct vm *vm)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[4096];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	int fds[2] = {vm->uffd, vm->memfd};
	size_t fds_size = (vm->memfd >= 0 ? 2 : 1) * sizeof(int);
	struct iovec iov = {.iov_base = text, .iov_len = compose(vm, text, sizeof(text))};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(fds_size),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(fds_size);
	memcpy(CMSG_DATA(&control.header), fds, fds_size);
	if (strlen(vm->options->socket) >= sizeof(address.sun_path))
		give_up(STATUS_USAGE, "the socket's path is too long");
	strcpy(address.sun_path, vm->options->socket);
	vm->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (vm->socket < 0 ||
	    connect(vm->socket, (struct sockaddr *)&address, sizeof(address)) != 0)
		give_up(STATUS_WRONG, "cannot connect to %s: %m", vm->options->socket);
	if (sendmsg(vm->socket, &message, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		give_up(STATUS_WRONG, "cannot send the memory's layout: %m");
	if (!vm->options->keep_socket)
		close(vm->socket);
}

static const struct region *region_of(const struct vm *vm, uint64_t page)
{
	uint64_t at = page * PAGE;
	unsigned i = 0;

	while (i + 1 < vm->nregions && at >= vm->region[i + 1].offset)
		i++;
	return &vm->region[i];
}

char *page_hva(const struct vm *vm, uint64_t page)
{
	const struct region *r = region_of(vm, page);

	return r->hva + (page * PAGE - r->offset);
}

uint64_t page_gpa(const struct vm *vm, uint64_t page)
{
	const struct region *r = region_of(vm, page);

	return r->gpa + (page * PAGE - r->offset);
}

uint64_t page_run(const struct vm *vm, uint64_t page)
{
	const struct region *r = region_of(vm, page);

	return (r->offset + r->size) / PAGE - page;
}

void memory_remove(struct vm *vm, uint64_t page, uint64_t n)
{
	/* Shared memory keeps what is only unmapped. */
	int advice = vm->options->minor ? MADV_REMOVE : MADV_DONTNEED;

	while (madvise(page_hva(vm, page), n * PAGE, advice) != 0)
		if (errno != EAGAIN && errno != EINTR)
			give_up(STATUS_WRONG, "cannot give back %ju pages: %m", (uintmax_t)n);
	atomic_fetch_add(&vm->removed, n);
	atomic_fetch_add(&vm->removals, 1);
}
