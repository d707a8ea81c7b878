/* hello: a program that a test links in a way of its own. */
#include <stdio.h>

int main(void)
{
	puts("hello");
	return 0;
}
