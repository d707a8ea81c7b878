/* SPDX-License-Identifier: MIT */
/* What the kernel maps by itself cannot be registered, not even for WP_ASYNC. */
#include "abi.h"

#include <sys/auxv.h>

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
	if (!vdso)
		skip("no vdso");
	for (int async = 0; async < 2; async++) {
		int fd = uffd_open(async ? UFFD_FEATURE_WP_ASYNC : 0);
		for (uint64_t modes = 1; modes < 8; modes++)
			REFUSED(reg_out(fd, vdso, PG, modes), EINVAL);
		EQ(unreg(fd, vdso, PG), EINVAL);
		FAILS(copy(fd, vdso, page_of(1), PG, 0), ENOENT);
	}
	return 0;
}
