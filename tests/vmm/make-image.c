/*
 * make-image: writes a memory image whose pages are a function of a seed (image.h), sparse where
 * runs of pages are zero.
 */
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"

static void usage(FILE *to)
{
	fputs("usage: make-image [--image=SEED[:ZERO[:SAME]]] --pages=N FILE\n"
	      "ZERO: percent of pages that are zero (30); SAME: of the others, repeated (10)\n",
	      to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"image", required_argument, NULL, 'i'},
		{"pages", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct image image = IMAGE_DEFAULT;
	uint64_t pages = 0, words[PAGE_WORDS];
	int c, fd;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'p')
			pages = strtoull(optarg, NULL, 0);
		if (c == '?' || (c == 'i' && !image_parse(optarg, &image))) {
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc - 1 || pages == 0) {
		usage(stderr);
		return 2;
	}
	fd = open(argv[optind], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) != 0)
		err(1, "%s", argv[optind]);
	for (uint64_t page = 0; page < pages; page++) {
		if (image_is_hole(&image, page))
			continue;
		for (unsigned i = 0; i < PAGE_WORDS; i++)
			words[i] = image_word(&image, page, i);
		if (pwrite(fd, words, PAGE, (off_t)(page * PAGE)) != (ssize_t)PAGE)
			err(1, "%s", argv[optind]);
	}
	if (close(fd) != 0)
		err(1, "%s", argv[optind]);
	return 0;
}
