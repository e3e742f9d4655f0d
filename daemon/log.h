/* Lines the daemon says on stderr. Each is one line whatever a target has chosen for a name: every byte goes out
 * through pa_escape. Under the journal a line begins with its priority, elsewhere with the program's name.
 * World: plain. */
#ifndef PA_DAEMON_LOG_H
#define PA_DAEMON_LOG_H

/* As syslog(3) counts them. */
#define PA_LOG_ERROR   3
#define PA_LOG_WARNING 4
#define PA_LOG_INFO    6

/* Finds out whether stderr is the journal. Source: systemd.exec(5), $JOURNAL_STREAM: device and inode of it. */
void pa_log_init(const char *program);

/* Shapes: cut at 2 KiB. Errors: none; a stderr nobody reads is nobody's loss. */
void pa_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
