/* Checks of everything that comes from the other side of a socket or a shared mapping. The only place where a peer's
 * lengths are judged. Who uses it: collector, fuzzers, the agent's handshake. World: signal (no call but memcpy). */
#include "common/wire.h"

#include <errno.h>
#include <stdbool.h>

#include "common/lockwire.h"
#include "common/message.h"
#include "common/waitwire.h"

/* Bytes a record needs for what its own counters promise; 0: the counters are impossible. */
typedef uint64_t (*needs_fn)(const struct pa_record *head);

static uint64_t needs_sample(const struct pa_record *head)
{
	const struct pa_sample *r = (const struct pa_sample *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->weight == 0)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static uint64_t needs_module(const struct pa_record *head)
{
	const struct pa_module *r = (const struct pa_module *)head;

	if (r->build_id_len > PA_BUILD_ID_MAX || r->path_len > PA_PATH_MAX || r->start >= r->end)
		return 0;
	return sizeof(*r) + r->path_len;
}

static uint64_t needs_unmap(const struct pa_record *head)
{
	const struct pa_unmap *r = (const struct pa_unmap *)head;

	return r->start < r->end ? sizeof(*r) : 0;
}

static uint64_t needs_slice(const struct pa_record *head)
{
	const struct pa_slice *r = (const struct pa_slice *)head;

	if (r->nr_regs > PA_SLICE_REGS || r->stack_len > PA_SLICE_MAX || r->stack_len % 8 != 0)
		return 0;
	return sizeof(*r) + r->stack_len;
}

static uint64_t needs_heap_sample(const struct pa_record *head)
{
	const struct pa_heap_sample *r = (const struct pa_heap_sample *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->mean == 0 || r->address == 0)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static bool is_loop_kind(uint32_t kind)
{
	return kind == PA_WAIT_EPOLL || kind == PA_WAIT_POLL || kind == PA_WAIT_SELECT;
}

static uint64_t needs_loop(const struct pa_record *head)
{
	const struct pa_loop *r = (const struct pa_loop *)head;

	return is_loop_kind(r->kind) && r->since_ns <= head->time_ns ? sizeof(*r) : 0;
}

static uint64_t needs_iteration(const struct pa_record *head)
{
	const struct pa_iteration *r = (const struct pa_iteration *)head;

	return is_loop_kind(r->kind) && r->start_ns <= head->time_ns ? sizeof(*r) : 0;
}

static uint64_t needs_wait(const struct pa_record *head)
{
	const struct pa_wait *r = (const struct pa_wait *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->kind == PA_WAIT_NONE || r->kind >= PA_WAIT_KINDS ||
	    r->start_ns > head->time_ns)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static uint64_t needs_connection(const struct pa_record *head)
{
	const struct pa_connection *r = (const struct pa_connection *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->address_len > PA_ADDRESS_MAX || r->connection == 0)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static uint64_t needs_messages(const struct pa_record *head)
{
	const struct pa_conn_messages *r = (const struct pa_conn_messages *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->connection == 0 || r->way > 1 || r->nr == 0 || r->nr > PA_ENTRIES_MAX ||
	    r->stack > PA_CONN_STACKS)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]) + r->nr_bytes;
}

static uint64_t needs_lock_wait(const struct pa_record *head)
{
	const struct pa_lock_wait *r = (const struct pa_lock_wait *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->kind == PA_LOCK_NONE || r->kind >= PA_LOCK_KINDS || r->order == 0)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static uint64_t needs_lock_done(const struct pa_record *head)
{
	const struct pa_lock_done *r = (const struct pa_lock_done *)head;

	if (r->outcome >= PA_LOCK_OUTCOMES || r->start_ns > r->got_ns || r->got_ns > head->time_ns ||
	    (r->released_ns && (r->released_ns < r->got_ns || r->released_ns > head->time_ns)))
		return 0;
	return sizeof(*r);
}

static uint64_t needs_statement(const struct pa_record *head)
{
	const struct pa_statement *r = (const struct pa_statement *)head;

	if (r->nr_frames > PA_FRAMES_MAX || r->start_ns > head->time_ns)
		return 0;
	return sizeof(*r) + (uint64_t)r->nr_frames * sizeof(r->frames[0]);
}

static uint64_t needs_statement_text(const struct pa_record *head)
{
	const struct pa_statement_text *r = (const struct pa_statement_text *)head;

	return r->nr_bytes <= PA_STATEMENT_TEXT_MAX ? sizeof(*r) + r->nr_bytes : 0;
}

/* One row per record type: its fixed part, and what its lengths add. */
static const struct record_rule {
	uint32_t min_bytes;
	needs_fn needs;
} rules[PA_REC_TYPES] = {
    [PA_REC_SAMPLE] = {sizeof(struct pa_sample), needs_sample},
    [PA_REC_THREAD_START] = {sizeof(struct pa_thread_start), NULL},
    [PA_REC_THREAD_END] = {sizeof(struct pa_thread_end), NULL},
    [PA_REC_MODULE] = {sizeof(struct pa_module), needs_module},
    [PA_REC_UNMAP] = {sizeof(struct pa_unmap), needs_unmap},
    [PA_REC_PROCESS_END] = {sizeof(struct pa_process_end), NULL},
    [PA_REC_NOTE] = {sizeof(struct pa_note), NULL},
    [PA_REC_SLICE] = {sizeof(struct pa_slice), needs_slice},
    [PA_REC_HEAP_SAMPLE] = {sizeof(struct pa_heap_sample), needs_heap_sample},
    [PA_REC_HEAP_FREE] = {sizeof(struct pa_heap_free), NULL},
    [PA_REC_HEAP_FIGURES] = {sizeof(struct pa_heap_figures), NULL},
    [PA_REC_LOOP] = {sizeof(struct pa_loop), needs_loop},
    [PA_REC_ITERATION] = {sizeof(struct pa_iteration), needs_iteration},
    [PA_REC_WAIT] = {sizeof(struct pa_wait), needs_wait},
    [PA_REC_CONNECTION] = {sizeof(struct pa_connection), needs_connection},
    [PA_REC_MESSAGES] = {sizeof(struct pa_conn_messages), needs_messages},
    [PA_REC_LOCK_WAIT] = {sizeof(struct pa_lock_wait), needs_lock_wait},
    [PA_REC_LOCK_DONE] = {sizeof(struct pa_lock_done), needs_lock_done},
    [PA_REC_STATEMENT] = {sizeof(struct pa_statement), needs_statement},
    [PA_REC_STATEMENT_TEXT] = {sizeof(struct pa_statement_text), needs_statement_text},
};

static bool record_is_sound(const struct pa_record *r)
{
	const struct record_rule *rule;

	if (r->size > PA_RECORD_MAX)
		return false;
	if (r->type >= PA_REC_TYPES)
		return true;
	rule = &rules[r->type];
	if (r->size < rule->min_bytes)
		return false;
	if (rule->needs) {
		uint64_t bytes = rule->needs(r);

		return bytes != 0 && bytes <= r->size;
	}
	return true;
}

const struct pa_record *pa_wire_next(const void *buf, size_t len, size_t *offset)
{
	const uint8_t *base = buf;

	/* A filler may be as short as 8 bytes: type and size are looked at before the rest of the head. */
	while (*offset <= len && len - *offset >= 8) {
		const struct pa_record *r = (const struct pa_record *)(base + *offset);
		uint64_t size = r->size;

		if (size < 8 || size % 8 != 0 || size > len - *offset)
			return NULL;
		if (r->type != PA_REC_FILLER) {
			if (size < sizeof(*r) || !record_is_sound(r))
				return NULL;
			*offset += size;
			return r;
		}
		*offset += size;
	}
	return NULL;
}

static int check_head(const struct pa_msg_head *head, size_t len, uint16_t type, size_t min_bytes)
{
	if (len < sizeof(*head) || head->magic != PA_WIRE_MAGIC)
		return -EPROTO;
	/* the version first: another major may have laid out the rest differently */
	if (head->major != PA_WIRE_MAJOR)
		return -EPROTONOSUPPORT;
	if (head->type != type || head->size != len || len < min_bytes)
		return -EPROTO;
	return 0;
}

int pa_wire_check_hello(const struct pa_hello *hello, size_t len)
{
	int err = check_head(&hello->head, len, PA_MSG_HELLO, sizeof(*hello));

	if (err)
		return err;
	if (hello->options_len > PA_OPTIONS_MAX || hello->pid == 0 || hello->pid > INT32_MAX || hello->tid == 0 ||
	    hello->tid > INT32_MAX || hello->agent_start > hello->agent_end)
		return -EPROTO;
	return 0;
}

int pa_wire_check_config(const struct pa_config *config, size_t len)
{
	int err = check_head(&config->head, len, PA_MSG_CONFIG, sizeof(*config));

	if (err)
		return err;
	if (config->status == PA_CONFIG_OK && config->file_size < PA_CONTROL_BYTES)
		return -EPROTO;
	return 0;
}
