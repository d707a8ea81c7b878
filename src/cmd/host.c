/*
 * host.c - the process that a static program runs in: libc, the interposer, and room for the
 * program, which the interposer loads (front/hosted.h).
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int (*run)(char **) = (int (*)(char **))dlsym(RTLD_DEFAULT, "uf_hosted_main");

	(void)argc;
	if (run)
		return run(argv);
	fputs("userfault: the preload library is not there; 'userfault run' starts this\n", stderr);
	return 125;
}
