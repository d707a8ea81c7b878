// SPDX-License-Identifier: MIT
// The public header from C++: every kind of call, and a page that comes from a function.
#include <userfault/userfault.h>

#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace
{
const size_t page_size = 4096;
char page[page_size];

const void *give(const uf_fault *fault, void *)
{
	return fault->page % (2 * page_size) ? UF_PAGE_ZERO : page;
}

ssize_t fetch(void *arg, uint64_t number, void *buf, size_t size)
{
	std::memset(buf, static_cast<int>(number) + *static_cast<int *>(arg), size);
	return static_cast<ssize_t>(size);
}
} // namespace

int main()
{
	static const uf_type type = {"cplusplus", 0, fetch, nullptr, nullptr};
	uf_handler *handler = nullptr;
	int error = 0, base = 7;
	auto *memory = static_cast<char *>(uf_mmap(nullptr, 4 * page_size, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &error));
	auto *typed = static_cast<char *>(
		uf_type_map(&type, &base, nullptr, 4 * page_size, PROT_READ, &error));

	std::memset(page, 5, sizeof(page));
	if (error != 0 || uf_handle_pages(memory, 4 * page_size, UF_REGISTER_MODE_MISSING, give,
					  nullptr, &handler) != 0)
		return 1;
	if (memory[0] + memory[page_size] != 5 || typed[2 * page_size] != 9) {
		std::fprintf(stderr, "%d %d %d\n", memory[0], memory[page_size],
			     typed[2 * page_size]);
		return 1;
	}
	return uf_unhandle(handler) != 0 || uf_munmap(typed, 4 * page_size) != 0;
}
