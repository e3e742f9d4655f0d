/* The smallest program with an output and a status of its own: built static and for musl too. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	printf("hello %d\n", argc);
	return argc > 1 ? atoi(argv[1]) : 7;
}
