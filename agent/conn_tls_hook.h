/* What is said on encrypted connections, at the calls of the library that encrypts: the text goes through the framer of
 * the connection whose descriptor the library has. Without one (the program moves the encrypted bytes by itself) the
 * library's object is a connection of its own, of which no peer is known. World: hook. */
#ifndef PA_AGENT_CONN_TLS_HOOK_H
#define PA_AGENT_CONN_TLS_HOOK_H

#include "agent/conn_hook.h"

struct pa_tls_call {
	const void *object;
	int fd; /* -1: none */
	bool is_server;
	bool sent;
	uint64_t start_ns; /* 0: not to be looked at */
};

/* Before the real call: what its socket moves meanwhile is encrypted. */
void pa_tls_begin_hook(struct pa_tls_call *call, const struct pa_caller *caller);
/* After it: n bytes of text went out of, or into, buf. n <= 0: none. */
void pa_tls_moved_hook(const struct pa_tls_call *call, const void *buf, ssize_t n, const struct pa_caller *caller);
/* The library has made an object: nothing was said on it yet. Before it is freed. */
void pa_tls_new_hook(const void *object, const struct pa_caller *caller);
void pa_tls_free_hook(const void *object, const struct pa_caller *caller);

#endif
