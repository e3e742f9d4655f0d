/* Names of C++ and Rust as people write them, and names made to hurt the demangler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/demangle.h"

static const char *demangled(const char *name)
{
	static char out[PA_NAME_MAX];
	size_t len = pa_demangle(name, out);

	assert_int_equal(len, strlen(out));
	return out;
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void cpp_names_are_readable(void **state)
{
	assert_string_equal(demangled("_ZN3app4workEi"), "app::work(int)");
	assert_string_equal(demangled("_ZNSt6vectorIiSaIiEE9push_backERKi"),
			    "std::vector<int, std::allocator<int> >::push_back(int const&)");
	assert_string_equal(
	    demangled("_ZZN3app4workEiENKUlRKNS_4ItemES2_E_clES2_S2_"),
	    "app::work(int)::{lambda(app::Item const&, app::Item const&)#1}::operator()(app::Item const&, "
	    "app::Item const&) const");
	assert_string_equal(demangled("_ZTv0_n24_N1B1fEv"), "virtual thunk to B::f()");
}

static void rust_names_lose_their_hash(void **state)
{
	assert_string_equal(demangled("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
	assert_string_equal(
	    demangled("_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE"),
	    "<alloc::string::String as core::fmt::Debug>::fmt");
	assert_string_equal(demangled("_RNvCskwGfYPst2Cb_3foo16example_function"), "foo::example_function");
	assert_string_equal(demangled("_RINvNtC3std3mem8align_ofdE"), "std::mem::align_of::<f64>");
}

static void copies_of_a_function_have_its_name(void **state)
{
	assert_string_equal(demangled("_ZN3app4workEi.cold"), "app::work(int)");
	assert_string_equal(demangled("_ZN3app4workEi.constprop.0.isra.0"), "app::work(int)");
	assert_string_equal(demangled("work.part.3.cold"), "work");
	assert_string_equal(demangled("work.llvm.1234567"), "work");
	assert_string_equal(demangled("counter.0"), "counter");
	assert_string_equal(demangled("memcpy@@GLIBC_2.14"), "memcpy");
	assert_string_equal(demangled("_ZN3app4workEi.cold@@V1"), "app::work(int)");
	assert_string_equal(demangled("memcpy@plt"), "memcpy@plt");
	assert_string_equal(demangled("main.func1"), "main.func1"); /* Go: part of the name */
	assert_string_equal(demangled("runtime.park_m"), "runtime.park_m");
	assert_string_equal(demangled(".cold"), ".cold");
}

static void what_is_not_mangled_stays(void **state)
{
	assert_string_equal(demangled(""), "");
	assert_string_equal(demangled("_"), "_");
	assert_string_equal(demangled("_Z"), "_Z");
	assert_string_equal(demangled("_R"), "_R");
	assert_string_equal(demangled("main"), "main");
	assert_string_equal(demangled("_ZN3app"), "_ZN3app");
	assert_string_equal(demangled("_ZN99999999999999999999appE"), "_ZN99999999999999999999appE");
}

static void control_characters_and_bad_utf8_are_replaced(void **state)
{
	assert_string_equal(demangled("a\x1b[31mred\nx\x7f"), "a?[31mred?x?");
	assert_string_equal(demangled("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
	assert_string_equal(demangled("\xc0\x80 \xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80"), "?? ??? ??? ????");
	assert_string_equal(demangled("\xff\xc3"), "??");
	assert_string_equal(demangled("\xc2\x9b"), "??"); /* C1: a terminal takes it for an escape */
	assert_string_equal(demangled("_ZN3\x1b[0EI"), "_ZN3?[0EI");
}

static void names_are_cut_between_characters(void **state)
{
	char *name = malloc(20001);

	memset(name, 'x', 20000);
	name[20000] = 0;
	assert_int_equal(strlen(demangled(name)), PA_NAME_MAX - 1);
	for (size_t i = 0; i + 1 < 20000; i += 2)
		memcpy(name + i, "\xc3\xbc", 2);
	assert_int_equal(strlen(demangled(name)), PA_NAME_MAX - 2);
	free(name);
}

/* Real templates exceed the 1024 bytes up to which libiberty guards its own recursion. */
static void long_names_are_demangled(void **state)
{
	char name[6000] = "_ZN";
	size_t used = 3;

	for (int i = 0; i < 300; i++)
		used += (size_t)snprintf(name + used, sizeof(name) - used, "8name%04d", i);
	snprintf(name + used, sizeof(name) - used, "Ev");
	assert_true(strlen(name) > 2000);
	assert_memory_equal(demangled(name), "name0000::name0001::name0002::", 30);
}

/* A<A<A<B>, A<B> >, ...>: each level names the one inside it a second time, 2^levels copies in 8 * levels bytes.
 * S0_ is A, S2_ the innermost A<B>, and so on. */
static const char *nested_pairs(const char *head, int levels)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static char name[1000];
	size_t used = (size_t)snprintf(name, sizeof(name), "%s1AI", head);

	for (int i = 0; i < levels; i++)
		used += (size_t)snprintf(name + used, sizeof(name) - used, "S0_I");
	used += (size_t)snprintf(name + used, sizeof(name) - used, "1BE");
	for (int i = 0; i < levels; i++)
		used += (size_t)snprintf(name + used, sizeof(name) - used, "S%c_E", digits[2 + i]);
	return name;
}

static void nested_pairs_are_a_valid_name(void **state)
{
	assert_string_equal(demangled(nested_pairs("_Z1fIJEEv", 2)), "void f<>(A<A<A<B>, A<B> >, A<A<B>, A<B> > >)");
}

static void exponential_output_is_cut(void **state)
{
	double start = cpu_s();

	assert_int_equal(strlen(demangled(nested_pairs("_Z1fIJEEv", 30))), PA_NAME_MAX - 1);
	assert_true(cpu_s() - start < 0.2);
}

/* A pack expansion is searched for a pack through all the copies, and nothing is written meanwhile. Without a limit
 * these are minutes. */
static void exponential_search_is_stopped(void **state)
{
	double start = cpu_s();
	const char *name = nested_pairs("_Z1fIJEEvDp", 33);

	assert_string_equal(demangled(name), name);
	assert_true(cpu_s() - start < 0.5);
}

static void deep_nesting_is_survived(void **state)
{
	static const char *const parts[] = {"P",  "R",  "I",   "N",  "X", "F", "A_", "1AI",
					    "Dp", "sZ", "L_Z", "T_", "Q", "c", "_"};
	char *name = malloc(9000);

	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		for (size_t target = 500; target <= 8000; target *= 4) {
			size_t used = (size_t)sprintf(name, "_Z1f");

			while (used < target)
				used += (size_t)sprintf(name + used, "%s", parts[p]);
			sprintf(name + used, "iEv");
			assert_true(strlen(demangled(name)) <= PA_NAME_MAX - 1);
		}
	}
	free(name);
}

/* The same in Rust: tuples of a tuple and a reference to it by its position. */
static void rust_back_references_are_cut(void **state)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const int levels = 40;
	double start = cpu_s();
	char name[400];
	size_t used = (size_t)snprintf(name, sizeof(name), "_RINvC1a1f");

	for (int i = 0; i < levels; i++)
		used += (size_t)snprintf(name + used, sizeof(name) - used, "T");
	used += (size_t)snprintf(name + used, sizeof(name) - used, "TuuE");
	for (int i = levels; i > 0; i--)
		used += (size_t)snprintf(name + used, sizeof(name) - used, "B%c_E", digits[8 + i - 1]);
	snprintf(name + used, sizeof(name) - used, "E");
	assert_int_equal(strlen(demangled(name)), PA_NAME_MAX - 1);
	assert_memory_equal(demangled(name), "a::f::<((", 9);
	assert_non_null(strstr(demangled(name), "((((), ()), ((), ())), (((), ()), ((), ())))"));
	assert_true(cpu_s() - start < 0.2);
}

/* A file full of such names costs a second, not a second a name. */
static void many_hostile_names_cost_little(void **state)
{
	double start = cpu_s();

	for (int i = 0; i < 200; i++) {
		char head[40];

		snprintf(head, sizeof(head), "_Z4f%03dIJEEvDp", i);
		demangled(nested_pairs(head, 33));
	}
	assert_true(cpu_s() - start < 3);
}

static void megabyte_names_are_cut(void **state)
{
	size_t len = 1 << 20;
	char *name = malloc(len + 1);

	memset(name, 'P', len);
	memcpy(name, "_Z1f", 4);
	name[len] = 0;
	assert_int_equal(strlen(demangled(name)), PA_NAME_MAX - 1);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cpp_names_are_readable),
	    cmocka_unit_test(rust_names_lose_their_hash),
	    cmocka_unit_test(copies_of_a_function_have_its_name),
	    cmocka_unit_test(what_is_not_mangled_stays),
	    cmocka_unit_test(control_characters_and_bad_utf8_are_replaced),
	    cmocka_unit_test(names_are_cut_between_characters),
	    cmocka_unit_test(long_names_are_demangled),
	    cmocka_unit_test(nested_pairs_are_a_valid_name),
	    cmocka_unit_test(exponential_output_is_cut),
	    cmocka_unit_test(exponential_search_is_stopped),
	    cmocka_unit_test(deep_nesting_is_survived),
	    cmocka_unit_test(rust_back_references_are_cut),
	    cmocka_unit_test(many_hostile_names_cost_little),
	    cmocka_unit_test(megabyte_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
