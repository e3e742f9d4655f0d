/* A C program with a C++ library: needed (default) or, with the mode `plugin`, loaded later as well. Whose
 * _Unwind_RaiseException it gets is asked by the test through LD_DEBUG=bindings. */
#include <dlfcn.h>

#include "tests/targets/target.h"

int throw_and_catch(int n);

static int mode_needed(int argc, char **argv)
{
	int caught = 0;

	for (int i = 0; i < 100; i++)
		caught += throw_and_catch(1000);
	printf("caught %d\n", caught);
	return 0;
}

static int mode_plugin(int argc, char **argv)
{
	void *lib = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
	int (*run)(unsigned) = lib ? (int (*)(unsigned))dlsym(lib, "plug_run") : NULL;

	target_need(run != NULL, "dlopen");
	printf("plug-in %d\n", run(100000));
	return 0;
}

static const struct target_mode modes[] = {{"needed", mode_needed}, {"plugin", mode_plugin}, {0}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
