/*
 * handler.c - the callback: a userfaultfd context without a descriptor.
 *
 * A fault may find its context just before uf_unhandle and call back just after. So a handler is
 * named to the context by its place in a pool and the generation it had, never by a pointer that
 * could be somebody else's by then.
 */
#include <userfault/userfault.h>

#include "front/front.h"
#include "mm/trace.h"

#include <sched.h>

#define EXPORT	     __attribute__((visibility("default")))
#define MAX_HANDLERS 4096u

struct uf_handler {
	_Atomic uint32_t used;
	_Atomic uint32_t gen; /* odd: open */
	_Atomic uint32_t running;
	uf_ref ctx;
	uf_handler_fn fn;
	uf_page_fn page; /* instead of fn */
	void *arg;
};

static struct uf_handler pool[MAX_HANDLERS];

static void *name_of(struct uf_handler *h)
{
	return (void *)((uintptr_t)atomic_load(&h->gen) << 16 | (uintptr_t)(h - pool));
}

static int map_page(struct uf_handler *h, const struct uf_fault *f, const void *page);

static int call_back(const struct mm_fault *fault, void *name)
{
	struct uf_handler *h = &pool[(uintptr_t)name & 0xffff];
	struct uf_fault f = {.address = fault->addr,
			     .page = fault->page,
			     .flags = fault->flags,
			     .size = fault->size};
	int err = 0, saved = errno;

	atomic_fetch_add(&h->running, 1);
	/* Gone in the meantime: the access, done again, finds ordinary memory. */
	if (name_of(h) == name)
		err = h->fn ? h->fn(&f, h->arg) : map_page(h, &f, h->page(&f, h->arg));
	atomic_fetch_sub(&h->running, 1);
	/* The access in the middle of which this runs does not expect it to change. */
	errno = saved;
	return err;
}

static struct uf_handler *handler_new(void)
{
	uint32_t i, free;

	for (i = 0; i < MAX_HANDLERS; i++) {
		free = 0;
		if (!atomic_compare_exchange_strong(&pool[i].used, &free, 1))
			continue;
		atomic_fetch_add(&pool[i].gen, 1);
		return &pool[i];
	}
	return NULL;
}

static void handler_free(struct uf_handler *h)
{
	atomic_fetch_add(&h->gen, 1);
	while (atomic_load(&h->running))
		sched_yield();
	atomic_store(&h->used, 0);
}

static bool valid_range(uint64_t addr, uint64_t len)
{
	return !((addr | len) & ~UF_PAGE_MASK) && len && addr + len > addr &&
	       addr + len <= mach_task_size();
}

static bool valid_modes(uint64_t modes)
{
	const uint64_t all = UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP |
			     UF_REGISTER_MODE_MINOR | UF_REGISTER_MODE_RWP;
	const uint64_t both = UF_REGISTER_MODE_WP | UF_REGISTER_MODE_RWP;

	return modes && !(modes & ~all) && (modes & both) != both;
}

/* A context with h as its handler, and no descriptor. */
static int context_new(struct uf_handler *h)
{
	int err;

	err = uffd_create(mm_space_self, 0, 0, &h->ctx, NULL);
	if (err)
		return err;
	err = uffd_set_callback(h->ctx, call_back, name_of(h));
	if (err)
		uffd_close(h->ctx);
	return err;
}

static int handle(void *addr, size_t len, uint64_t modes, uf_handler_fn fn, uf_page_fn page,
		  void *arg, struct uf_handler **out)
{
	struct mach_entry entry;
	struct uf_handler *h;
	uint64_t ops;
	int err;

	if ((!fn && !page) || !out || !valid_modes(modes) || !valid_range((uintptr_t)addr, len))
		return -EINVAL;
	err = front_start();
	if (err)
		return err;
	h = handler_new();
	if (!h)
		return -ENOMEM;
	h->fn = fn;
	h->page = page;
	h->arg = arg;
	err = context_new(h);
	if (err) {
		handler_free(h);
		return err;
	}
	mem_note_managed((uintptr_t)addr, len);
	mach_enter(&entry);
	err = mm_register(mm_space_self, h->ctx, (uintptr_t)addr, len, (uint32_t)modes, &ops);
	mach_leave(&entry);
	if (err) {
		uf_unhandle(h);
		return err;
	}
	*out = h;
	return 0;
}

EXPORT int uf_handle(void *addr, size_t len, uint64_t modes, uf_handler_fn fn, void *arg,
		     struct uf_handler **out)
{
	return handle(addr, len, modes, fn, NULL, arg, out);
}

EXPORT int uf_handle_pages(void *addr, size_t len, uint64_t modes, uf_page_fn fn, void *arg,
			   struct uf_handler **out)
{
	return handle(addr, len, modes, NULL, fn, arg, out);
}

EXPORT int uf_unhandle(struct uf_handler *h)
{
	if (!h)
		return -EINVAL;
	uffd_close(h->ctx);
	handler_free(h);
	return 0;
}

/* Nothing of a callback's context is ever undone in the middle. */
static int always(uf_ref ctx)
{
	(void)ctx;
	return 0;
}

static ssize_t fill(struct uf_handler *h, enum mm_source source, void *dst, const void *src,
		    size_t len)
{
	struct mm_fill f = {.source = source, .dst = (uintptr_t)dst, .len = len};
	struct mach_entry entry;
	uint64_t done = 0;
	int err;

	if (!h || !valid_range(f.dst, len))
		return -EINVAL;
	f.src = (uintptr_t)src;
	mach_enter(&entry);
	err = mm_fill(mm_space_self, &f, always, h->ctx, &done);
	mach_leave(&entry);
	return done ? (ssize_t)done : err;
}

EXPORT ssize_t uf_fill_copy(struct uf_handler *h, void *dst, const void *src, size_t len)
{
	return fill(h, MM_SOURCE_COPY, dst, src, len);
}

EXPORT ssize_t uf_fill_zero(struct uf_handler *h, void *dst, size_t len)
{
	return fill(h, MM_SOURCE_ZERO, dst, NULL, len);
}

EXPORT ssize_t uf_fill_poison(struct uf_handler *h, void *dst, size_t len)
{
	return fill(h, MM_SOURCE_POISON, dst, NULL, len);
}

EXPORT ssize_t uf_fill_continue(struct uf_handler *h, void *dst, size_t len)
{
	return fill(h, MM_SOURCE_CONTINUE, dst, NULL, len);
}

static int protect(struct uf_handler *h, void *addr, size_t len, uint32_t mode, int set)
{
	uint64_t began = mm_trace_now();
	struct mach_entry entry;
	int err;

	if (!h || !valid_range((uintptr_t)addr, len))
		return -EINVAL;
	mach_enter(&entry);
	err = mm_protect(mm_space_self, (uintptr_t)addr, len, mode, set != 0);
	if (!err)
		mm_trace_range(TRACE_PROTECT, 0, began, (uintptr_t)addr, len,
			       set ? 0 : TRACE_LIFTED);
	mach_leave(&entry);
	return err;
}

EXPORT int uf_write_protect(struct uf_handler *h, void *addr, size_t len, int set)
{
	return protect(h, addr, len, MM_MODE_WP, set);
}

EXPORT int uf_rw_protect(struct uf_handler *h, void *addr, size_t len, int set)
{
	return protect(h, addr, len, MM_MODE_RWP, set);
}

/*
 * What the function of uf_handle_pages answered, done by the faulting thread. That a page is there
 * already is no error: another thread was faster.
 */
static int map_page(struct uf_handler *h, const struct uf_fault *f, const void *page)
{
	void *at = (void *)f->page;
	ssize_t done;

	if (page == UF_PAGE_ERROR)
		return -EFAULT;
	if (f->flags & UF_PAGEFAULT_FLAG_RWP)
		return page == UF_PAGE_KEEP ? uf_rw_protect(h, at, f->size, 0) : -EINVAL;
	if (f->flags & UF_PAGEFAULT_FLAG_WP)
		return page == UF_PAGE_KEEP ? uf_write_protect(h, at, f->size, 0) : -EINVAL;
	if (page == UF_PAGE_KEEP)
		done = uf_fill_continue(h, at, f->size);
	else if (page == UF_PAGE_ZERO)
		done = uf_fill_zero(h, at, f->size);
	else
		done = uf_fill_copy(h, at, page, f->size);
	return done < 0 && done != -EEXIST ? (int)done : 0;
}
