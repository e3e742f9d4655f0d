/* OpenSSL, where it is a shared library: the text that its connections carry. Reached by slots (libs_sig.h), so each
 * copy of the library has functions of its own here: an object of one is never handed to another. 1.1 and 3 have all of
 * these. World: hook. */
#include <stddef.h>

#include "agent/conn_tls_hook.h"
#include "agent/hooks_libs.h"
#include "agent/hooks_malloc.h"

#define HOOKED(X)                                                                                                      \
	X(read)                                                                                                        \
	X(write)                                                                                                       \
	X(read_ex)                                                                                                     \
	X(write_ex)                                                                                                    \
	X(free)                                                                                                        \
	X(new)
#define CALLED(X)                                                                                                      \
	X(get_rbio)                                                                                                    \
	X(get_fd)                                                                                                      \
	X(is_server)

enum name {
#define X(name) NAME_##name,
	HOOKED(X) NR_HOOKED,
	BEFORE_CALLED = NR_HOOKED - 1,
	CALLED(X) NR_NAMES
#undef X
};

static const char *const names[NR_NAMES] = {
#define X(name) [NAME_##name] = "SSL_" #name,
    HOOKED(X) CALLED(X)
#undef X
};

static _Atomic(void *) real[PA_LIB_COPIES * NR_NAMES];

typedef int read_fn(void *ssl, void *buf, int len);
typedef int write_fn(void *ssl, const void *buf, int len);
typedef int read_ex_fn(void *ssl, void *buf, size_t len, size_t *done);
typedef int write_ex_fn(void *ssl, const void *buf, size_t len, size_t *done);
typedef void free_fn(void *ssl);
typedef void *new_fn(void *context);
typedef int get_fn(const void *ssl);
typedef void *rbio_fn(const void *ssl);

static inline void *real_of(unsigned copy, enum name name)
{
	return pa_load_relaxed(&real[copy * NR_NAMES + name]);
}

/* Takes no lock. Without a BIO to read from, asking for its descriptor would leave an error in the library's queue. */
static inline struct pa_tls_call begin(unsigned copy, void *ssl, bool sent, const struct pa_caller *caller)
{
	struct pa_tls_call call = {.object = ssl, .sent = sent};

	call.fd = -1;
	if (((rbio_fn *)real_of(copy, NAME_get_rbio))(ssl))
		call.fd = ((get_fn *)real_of(copy, NAME_get_fd))(ssl);
	call.is_server = ((get_fn *)real_of(copy, NAME_is_server))(ssl);
	pa_tls_begin_hook(&call, caller);
	return call;
}

#define COPY(copy)                                                                                                     \
	static int read_##copy(void *ssl, void *buf, int len)                                                          \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		struct pa_tls_call call;                                                                               \
		int n;                                                                                                 \
		if (pa_conns_off() || !ssl)                                                                            \
			return ((read_fn *)real_of(copy, NAME_read))(ssl, buf, len);                                   \
		call = begin(copy, ssl, false, &caller);                                                               \
		n = ((read_fn *)real_of(copy, NAME_read))(ssl, buf, len);                                              \
		pa_tls_moved_hook(&call, buf, n, &caller);                                                             \
		return n;                                                                                              \
	}                                                                                                              \
	static int write_##copy(void *ssl, const void *buf, int len)                                                   \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		struct pa_tls_call call;                                                                               \
		int n;                                                                                                 \
		if (pa_conns_off() || !ssl)                                                                            \
			return ((write_fn *)real_of(copy, NAME_write))(ssl, buf, len);                                 \
		call = begin(copy, ssl, true, &caller);                                                                \
		n = ((write_fn *)real_of(copy, NAME_write))(ssl, buf, len);                                            \
		pa_tls_moved_hook(&call, buf, n, &caller);                                                             \
		return n;                                                                                              \
	}                                                                                                              \
	static int read_ex_##copy(void *ssl, void *buf, size_t len, size_t *done)                                      \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		struct pa_tls_call call;                                                                               \
		int ret;                                                                                               \
		if (pa_conns_off() || !ssl)                                                                            \
			return ((read_ex_fn *)real_of(copy, NAME_read_ex))(ssl, buf, len, done);                       \
		call = begin(copy, ssl, false, &caller);                                                               \
		ret = ((read_ex_fn *)real_of(copy, NAME_read_ex))(ssl, buf, len, done);                                \
		pa_tls_moved_hook(&call, buf, ret > 0 ? (ssize_t)*done : -1, &caller);                                 \
		return ret;                                                                                            \
	}                                                                                                              \
	static int write_ex_##copy(void *ssl, const void *buf, size_t len, size_t *done)                               \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		struct pa_tls_call call;                                                                               \
		int ret;                                                                                               \
		if (pa_conns_off() || !ssl)                                                                            \
			return ((write_ex_fn *)real_of(copy, NAME_write_ex))(ssl, buf, len, done);                     \
		call = begin(copy, ssl, true, &caller);                                                                \
		ret = ((write_ex_fn *)real_of(copy, NAME_write_ex))(ssl, buf, len, done);                              \
		pa_tls_moved_hook(&call, buf, ret > 0 ? (ssize_t)*done : -1, &caller);                                 \
		return ret;                                                                                            \
	}                                                                                                              \
	static void *new_##copy(void *context)                                                                         \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		void *ssl = ((new_fn *)real_of(copy, NAME_new))(context);                                              \
		if (!pa_conns_off() && ssl)                                                                            \
			pa_tls_new_hook(ssl, &caller);                                                                 \
		return ssl;                                                                                            \
	}                                                                                                              \
	static void free_##copy(void *ssl)                                                                             \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		if (!pa_conns_off() && ssl)                                                                            \
			pa_tls_free_hook(ssl, &caller);                                                                \
		((free_fn *)real_of(copy, NAME_free))(ssl);                                                            \
	}

COPY(0)
COPY(1)
COPY(2)
_Static_assert(PA_LIB_COPIES == 3, "a function for each copy");

static const void *const own[PA_LIB_COPIES * NR_HOOKED] = {
#define X0(name) [0 * NR_HOOKED + NAME_##name] = (const void *)name##_0,
#define X1(name) [1 * NR_HOOKED + NAME_##name] = (const void *)name##_1,
#define X2(name) [2 * NR_HOOKED + NAME_##name] = (const void *)name##_2,
    HOOKED(X0) HOOKED(X1) HOOKED(X2)};

const struct pa_lib pa_lib_tls = {
    .names = names,
    .nr_names = NR_NAMES,
    .nr_hooked = NR_HOOKED,
    .modes = PA_MODE_DB | PA_MODE_HTTP,
    .own = own,
    .real = real,
};
