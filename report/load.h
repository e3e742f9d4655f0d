/* The steps of loading a recording into struct pa_report, in the order query.c takes them. World: plain. */
#ifndef PA_REPORT_LOAD_H
#define PA_REPORT_LOAD_H

#include "collector/store.h"
#include "report/model.h"

/* Each returns 0 or -errno (-ENOMEM, or what the store says about damage). */
int pa_load_head(struct pa_report *r, struct pa_recording *rec);
int pa_load_rows(struct pa_report *r, struct pa_recording *rec);
/* Every frame gets a name: from the recording, from the files as far as they are still the same (recordings that were
 * cut off), else module+0x... */
int pa_load_names(struct pa_report *r, struct pa_recording *rec);
int pa_load_samples(struct pa_report *r, struct pa_recording *rec);
/* After the rows: what the heap did within the window, by (process, stack). */
int pa_load_heap(struct pa_report *r, struct pa_recording *rec);

/* The window on the recording's own clock, CLOCK_MONOTONIC. Samples count from `from` on and before `to`; what was
 * counted for a while counts by its end, after `from` and up to `to`. to UINT64_MAX: no end. */
struct pa_span {
	uint64_t from, to;
};
struct pa_span pa_window_span(const struct pa_report *r);

/* The index of the row with this id in an array sorted by id whose structs begin with it; 0: none.
 * Shapes: nr counts the row 0 that stands for unknown. */
uint32_t pa_index_of(const void *array, size_t nr, size_t stride, uint32_t id);

/* The part of a path after the last slash; the path itself when there is none or nothing follows. */
const char *pa_base_name(const char *path);

#endif
