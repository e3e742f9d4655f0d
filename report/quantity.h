/* Numbers as a person reads them: sizes in KiB, MiB, GiB, large counts, times. World: plain. */
#ifndef PA_REPORT_QUANTITY_H
#define PA_REPORT_QUANTITY_H

#include <stddef.h>
#include <stdint.h>

/* Room for any of the texts below. */
#define PA_QUANTITY_MAX 32

/* "512 B", "1.5 KiB", "12.3 MiB", "1023 MiB": at most eight columns below 10 000 PiB. Shapes: `to` has PA_QUANTITY_MAX
 * bytes, and is returned. */
char *pa_size_text(char *to, uint64_t bytes);
/* The same with a sign: "+1.5 KiB", "-3 B", "0 B". */
char *pa_change_text(char *to, int64_t bytes);
/* "12345678", "123.4 M", "1.2 G": at most eight columns. */
char *pa_count_text(char *to, uint64_t count);
/* "-12", "+1234" in full */
char *pa_count_change_text(char *to, int64_t count);
/* Seconds: "850 us", "1.234 s", "1m30.0s". */
char *pa_time_text(char *to, uint64_t ns);

/* Half the width of a 95 % interval of an estimate with that variance, rounded; 0: exact. */
uint64_t pa_interval(double variance);

#endif
