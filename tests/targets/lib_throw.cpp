// A C++ library for a C program: throws and catches inside.
#include <stdexcept>

#include "tests/targets/target.h"

extern "C" int throw_and_catch(int n);

__attribute__((noinline)) static int thrower(int n)
{
	target_spin(50);
	if (n % 3 != 3)
		throw std::out_of_range("n");
	return n;
}

extern "C" int throw_and_catch(int n)
{
	int caught = 0;
	for (int i = 0; i < n; i++) {
		try {
			thrower(i);
		} catch (const std::exception &) {
			caught++;
		}
	}
	return caught;
}
