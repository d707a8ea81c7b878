/* SPDX-License-Identifier: MIT
 * pager-program FILE: memory with FILE's contents, looked at from its end.
 */
#include <stdio.h>
#include <string.h>
#include <userfault/pager.h>

int main(int argc, char **argv)
{
	struct uf_pager_options options = UF_PAGER_OPTIONS;
	struct uf_pager *pager;
	struct uf_source *source;
	struct uf_paged *paged;
	void *memory = NULL;
	uint64_t size;
	FILE *file;
	int c;

	options.name = "pager-program";
	if (argc != 2 || uf_pager_new(&options, &pager) || uf_source_open(pager, argv[1], &source))
		return fprintf(stderr, "pager-program: %s\n", uf_pager_why()), 1;
	size = (uf_source_size(source) + 4095) / 4096 * 4096;
	if (uf_pager_map(pager, source, 0, size, NULL, &memory, &paged))
		return fprintf(stderr, "pager-program: %s\n", uf_pager_why()), 1;
	file = fopen(argv[1], "r");
	if (!file)
		return 1;
	for (uint64_t at = size; at >= 4096; at -= 4096)
		(void)*((volatile char *)memory + at - 1);
	for (uint64_t at = 0; (c = getc(file)) != EOF; at++) {
		if (((unsigned char *)memory)[at] != c)
			return printf("byte %llu differs\n", (unsigned long long)at), 1;
	}
	fclose(file);
	if (uf_pager_detach(paged) || uf_source_close(source))
		return 1;
	uf_pager_free(pager);
	printf("%llu bytes\n", (unsigned long long)size);
	return 0;
}
