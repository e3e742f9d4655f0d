/* Any bytes as a HELLO or a CONFIG, and its options: judged, never believed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/listener.h"
#include "collector/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_options options = {.rate_hz = PA_RATE_DEFAULT};
	struct pa_hello *hello = malloc(size ? size : 1);
	struct pa_config answer;
	char err[160];

	memcpy(hello, data, size);
	if (pa_listener_judge(hello, size, &answer) == PA_CONFIG_OK) {
		/* longer is a newer minor's: its further fields are not looked at */
		if (size < sizeof(*hello) || hello->options_len > PA_OPTIONS_MAX)
			abort();
		pa_options_parse(&options, hello->options, hello->options_len, err, sizeof(err));
		if (options.rate_hz < 1 || options.rate_hz > PA_RATE_MAX)
			abort();
	}
	if (pa_wire_check_config(&answer, sizeof(answer)) && answer.status == PA_CONFIG_OK && answer.file_size)
		abort();
	pa_wire_check_config((const struct pa_config *)hello, size);
	free(hello);
	return 0;
}
