/*
 * faulting - two functions that a trace's call sites are to be found in.
 */
#include <stdio.h>

__attribute__((noinline)) int touch_first(volatile int *p)
{
	return *p + 1;
}

__attribute__((noinline)) int touch_second(volatile int *p)
{
	return *p + 2;
}

int main(int argc, char **argv)
{
	(void)argv;
	printf("%d\n", touch_first(&argc) + touch_second(&argc));
	return 0;
}
