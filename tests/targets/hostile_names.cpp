// Functions whose names are an attack: 1 MB long, mangled to explode, not UTF-8, HTML, separators (R14, R66).
#include "tests/targets/target.h"

#define X4(s)   s s s s
#define X16(s)  X4(s) X4(s) X4(s) X4(s)
#define X256(s) X16(X16(s))
#define X4K(s)  X16(X256(s))

// NAME is what the symbol table gets to read.
#define HOSTILE(fn, NAME)                                                                                              \
	extern "C" void fn() __asm__(NAME);                                                                            \
	extern "C" __attribute__((noinline)) void fn()                                                                 \
	{                                                                                                              \
		target_burn_ms(40);                                                                                    \
		target_spin(2);                                                                                        \
	}

HOSTILE(huge_plain, "huge_" X4K(X16("0123456789abcdef")))
HOSTILE(huge_mangled, "_Z1fI" X4K("1AIS_") "v")
HOSTILE(nested_pointers, "_Z1g" X256(X16("P")) "i")
HOSTILE(exponential, "_ZN1aIN1bIS_S_E1cIS0_S0_E1dIS1_S1_E1eIS2_S2_E1fIS3_S3_E1gIS4_S4_E1hIS5_S5_E1iIS6_S6_E1jIS7_S7_E"
		     "1kIS8_S8_E1lIS9_S9_E1mISA_SA_E1nISB_SB_E1oISC_SC_E1pISD_SD_EEEv")
HOSTILE(exponential_args, "_Z1hP1XS0_S0_FS0_S0_S0_EFS1_S1_S1_EFS2_S2_S2_EFS3_S3_S3_EFS4_S4_S4_EFS5_S5_S5_EFS6_S6_S6_E")
HOSTILE(rust_nested, "_RNv" X256("INvC1a1b") "1c" X256("E"))
HOSTILE(not_utf8, "\"bad\377\376\300\257name\"")
HOSTILE(escape_codes, "\"esc\033[31mred\033]0;title\007\"")
HOSTILE(html, "\"</script><script>alert(1)</script>&lt;'\"")
HOSTILE(separators, "\"a;b c;d 17\"")
HOSTILE(rtl, "\"rtl\342\200\256gnp.exe\"")

int main(int argc, char **argv)
{
	huge_plain();
	huge_mangled();
	nested_pointers();
	exponential();
	exponential_args();
	rust_nested();
	not_utf8();
	escape_codes();
	html();
	separators();
	rtl();
	printf("eleven names\n");
	return 0;
}
