/* What the daemon is told, whom it records, and how it talks to whoever manages it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/wire.h"
#include "daemon/datadir.h"
#include "daemon/rules.h"
#include "daemon/service.h"
#include "daemon/settings.h"

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static int parse(struct pa_daemon_settings *s, const char *text, char *err, size_t size)
{
	memset(s, 0, sizeof(*s));
	return pa_daemon_settings_parse(s, text, strlen(text), err, size);
}

static void test_a_file_of_settings(void **state)
{
	static struct pa_daemon_settings s;
	char err[256];

	assert_int_equal(parse(&s,
			       "# comment\n\n  rate = 250 \nkeep 1GiB,7d\nmode=cpu,memory\n\trule = uid=0,command=a*\n"
			       "rule uid=1\nroll 30m\nattach yes\nper service\ndata /x y",
			       err, sizeof(err)),
			 0);
	assert_int_equal(s.options.rate_hz, 250);
	assert_int_equal(s.options.modes, PA_MODE_CPU | PA_MODE_MEMORY);
	assert_int_equal(s.keep.bytes, 1 << 30);
	assert_int_equal(s.rules.nr, 2);
	assert_int_equal(s.roll_s, 1800);
	assert_true(s.attach);
	assert_true(s.per_service);
	assert_string_equal(s.data, "/x y");
}

static void test_a_wrong_setting_is_named_by_its_line(void **state)
{
	static const char *const bad[] = {"rate",     "rate=x",    "nonsense 1",    "keep", "attach maybe",
					  "per cent", "config /x", "roll 1y",       "rule", "rule uid=1,uid=2",
					  "data",     "=3",        "roll 99999999d"};
	static struct pa_daemon_settings s;
	char text[64], err[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\n%s\n", bad[i]);
		assert_true(parse(&s, text, err, sizeof(err)) < 0);
		assert_non_null(strstr(err, "line 2: "));
	}
}

static void test_the_command_line_wins(void **state)
{
	char path[] = "/tmp/pa-config.XXXXXX", err[256];
	int fd = mkstemp(path);
	static const char text[] = "rate=10\nkeep=1k\nrule=uid=1\nrule=uid=2\n";
	struct pa_setting given[] = {{"config", path}, {"rate", "20"}, {"rule", "uid=3"}};
	static struct pa_daemon_settings s;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(pa_daemon_settings_load(&s, given, 3, err, sizeof(err)), 0);
	assert_int_equal(s.options.rate_hz, 20);
	assert_int_equal(s.keep.bytes, 1024);
	assert_int_equal(s.rules.nr, 1);
	assert_int_equal(s.rules.rule[0].uid, 3);
	unlink(path);
	/* a file that was asked for has to be there */
	assert_int_equal(pa_daemon_settings_load(&s, given, 3, err, sizeof(err)), -ENOENT);
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void test_rules(void **state)
{
	static struct pa_rules rules;
	struct pa_candidate who = {1000, "/usr/sbin/nginx", "nginx: worker process", "nginx.service"};
	char err[160];

	assert_true(pa_rules_match(&rules, &who)); /* none: all */
	assert_int_equal(pa_rules_add(&rules, "uid=1000,command=ngin?", err, sizeof(err)), 0);
	assert_true(pa_rules_match(&rules, &who));
	who.uid = 1001;
	assert_false(pa_rules_match(&rules, &who));
	assert_false(pa_rules_may_match(&rules, 1001));
	assert_int_equal(pa_rules_add(&rules, "service=ngin*,command=*worker*", err, sizeof(err)), 0);
	assert_true(pa_rules_match(&rules, &who));
	assert_true(pa_rules_may_match(&rules, 1001));
	who.service = "";
	assert_false(pa_rules_match(&rules, &who));
	/* a comma of the pattern's own */
	assert_int_equal(pa_rules_add(&rules, "command=a,b,uid=root", err, sizeof(err)), 0);
	who = (struct pa_candidate){0, "", "a,b", ""};
	assert_true(pa_rules_match(&rules, &who));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pa_rules_add(&rules, "uid=no such user", err, sizeof(err)), -EINVAL);
	assert_int_equal(pa_rules_add(&rules, "uid=4294967295", err, sizeof(err)), -EINVAL);
	assert_int_equal(rules.nr, 3);
}

static void test_services_out_of_cgroups(void **state)
{
	static const struct {
		const char *text, *service;
	} rows[] = {
	    {"0::/system.slice/nginx.service\n", "nginx.service"},
	    {"0::/system.slice/nginx.service/workers\n", "nginx.service"},
	    {"12:cpu:/x\n0::/user.slice/user-1.slice/user@1.service/app.slice/a.service\n", "a.service"},
	    {"0::/user.slice/user-1.slice/user@1.service/app.slice/a.scope\n", ""},
	    {"0::/\n", ""},
	    {"", ""},
	    {"0::/.service", ""},
	    {"0::/a.services/b", ""},
	    {"no slash at all.service\n/c.service", "c.service"},
	    {"0::/system.slice/getty@tty1.service", "getty@tty1.service"},
	};
	char out[PA_SERVICE_MAX], lengthy[2 * PA_SERVICE_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(pa_cgroup_service(rows[i].text, out), rows[i].service[0] != 0);
		assert_string_equal(out, rows[i].service);
	}
	memset(lengthy, 'x', sizeof(lengthy));
	lengthy[0] = '/';
	strcpy(lengthy + sizeof(lengthy) - 9, ".service");
	assert_false(pa_cgroup_service(lengthy, out));
}

/* ---- the manager ------------------------------------------------------------------------------------------------- */

static void test_sockets_that_are_handed_over(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int stream = socket(AF_UNIX, SOCK_STREAM, 0), packet = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int inet = socket(AF_INET, SOCK_STREAM, 0), file = open("/dev/null", O_RDONLY);

	assert_int_equal(pa_service_check_socket(file), -ENOTSOCK);
	assert_int_equal(pa_service_check_socket(-1), -ENOTSOCK);
	assert_int_equal(pa_service_check_socket(inet), -EPROTOTYPE);
	assert_int_equal(bind(stream, (struct sockaddr *)&addr, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(stream, 1), 0);
	assert_int_equal(pa_service_check_socket(stream), -EPROTOTYPE);
	assert_int_equal(pa_service_check_socket(packet), -EPROTOTYPE); /* does not listen */
	assert_int_equal(bind(packet, (struct sockaddr *)&addr, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(packet, 1), 0);
	assert_int_equal(pa_service_check_socket(packet), 0);
	close(stream);
	close(packet);
	close(inet);
	close(file);
}

static void test_sockets_of_others_are_left_alone(void **state)
{
	assert_int_equal(pa_service_socket(), -1);
	setenv("LISTEN_FDS", "1", 1);
	assert_int_equal(pa_service_socket(), -1); /* nobody says whom it is for */
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(pa_service_socket(), -1);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
}

static void test_more_than_one_socket_is_refused(void **state)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	assert_int_equal(pa_service_socket(), -E2BIG);
}

static void test_notifications(void **state)
{
	char name[64], got[256] = "";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	unsetenv("NOTIFY_SOCKET");
	pa_service_notify("READY=1"); /* to nobody */
	snprintf(name, sizeof(name), "@pa-notify-%d", getpid());
	strcpy(addr.sun_path + 1, name + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, (socklen_t)(sizeof(sa_family_t) + strlen(name))), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	pa_service_notify("READY=1\nSTATUS=%d", 7);
	assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(got, "READY=1\nSTATUS=7");
	setenv("NOTIFY_SOCKET", "relative", 1);
	pa_service_notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "3000000", 1);
	assert_int_equal(pa_service_watchdog_ns(), 1500000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(pa_service_watchdog_ns(), 0);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(pa_service_watchdog_ns(), 0);
	close(fd);
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

static void test_the_data_directory_is_ours_alone(void **state)
{
	char base[] = "/tmp/pa-data.XXXXXX", path[128], link[128];
	struct stat st;
	int fd;

	assert_non_null(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/data", base);
	snprintf(link, sizeof(link), "%s/link", base);
	fd = pa_datadir_open(path);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, geteuid() ? 0700 : 0711);
	close(fd);
	assert_int_equal(symlink("data", link), 0);
	assert_true(pa_datadir_open(link) == -ENOTDIR || pa_datadir_open(link) == -ELOOP);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(pa_datadir_open(path), -EPERM);
	unlink(link);
	rmdir(path);
	rmdir(base);
}

static void test_names_of_recordings(void **state)
{
	struct pa_owner self = {0};
	char base[] = "/tmp/pa-data.XXXXXX", one[256], two[256];
	int fd;

	assert_non_null(mkdtemp(base));
	assert_int_equal(pa_datadir_name(base, &self, "../e\x1b/v;il", 7, one, sizeof(one)), 0);
	assert_null(strstr(one + strlen(base) + 1, "/"));
	assert_non_null(strstr(one, "/___e__v_il.7.20"));
	fd = open(one, O_CREAT | O_WRONLY, 0600);
	close(fd);
	for (int i = 0; i < 3; i++) { /* the second may end in between */
		assert_int_equal(pa_datadir_name(base, &self, "../e\x1b/v;il", 7, two, sizeof(two)), 0);
		assert_string_not_equal(one, two);
	}
	unlink(one);
	rmdir(base);
}

static void test_a_users_directory(void **state)
{
	struct pa_owner user = {true, 65534, 65534};
	char base[] = "/tmp/pa-data.XXXXXX", path[64];
	struct stat st;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/65534", base);
	fd = open(base, O_RDONLY | O_DIRECTORY);
	assert_int_equal(pa_datadir_user(fd, &user), 0);
	assert_int_equal(pa_datadir_user(fd, &user), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(st.st_gid, 65534);
	assert_int_equal(st.st_mode & 0777, 0700);
	/* somebody else's, and a link */
	user.uid = 65533;
	assert_int_equal(symlinkat("65534", fd, "65533"), 0);
	assert_true(pa_datadir_user(fd, &user) < 0);
	assert_int_equal(unlinkat(fd, "65533", 0), 0);
	assert_int_equal(mkdirat(fd, "65533", 0700), 0);
	assert_int_equal(pa_datadir_user(fd, &user), -EPERM);
	close(fd);
	unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
	snprintf(path, sizeof(path), "%s/65533", base);
	unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
	rmdir(base);
}

static void test_files_are_made_as_their_owner(void **state)
{
	struct pa_owner user = {true, 65534, 65534};
	char path[] = "/tmp/pa-owner.XXXXXX", other[] = "/tmp/pa-owner.XXXXXX";
	struct stat st;
	int fd = mkstemp(other);

	if (geteuid() != 0)
		skip();
	assert_true(fd >= 0); /* 0600, root's */
	close(fd);
	assert_true(pa_owner_enter(&user));
	assert_int_equal(open(other, O_RDWR), -1);
	fd = mkstemp(path);
	pa_owner_leave(&user);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	close(fd);
	fd = open(other, O_RDWR);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	unlink(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_file_of_settings),
	    cmocka_unit_test(test_a_wrong_setting_is_named_by_its_line),
	    cmocka_unit_test(test_the_command_line_wins),
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_services_out_of_cgroups),
	    cmocka_unit_test(test_sockets_that_are_handed_over),
	    cmocka_unit_test(test_sockets_of_others_are_left_alone),
	    cmocka_unit_test(test_more_than_one_socket_is_refused),
	    cmocka_unit_test(test_notifications),
	    cmocka_unit_test(test_the_data_directory_is_ours_alone),
	    cmocka_unit_test(test_names_of_recordings),
	    cmocka_unit_test(test_a_users_directory),
	    cmocka_unit_test(test_files_are_made_as_their_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
