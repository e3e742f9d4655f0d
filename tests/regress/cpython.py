"""CPython's own regression tests: one run of `python -m test` for each module, one result for each test in it."""

import os
import subprocess
import xml.etree.ElementTree as xml

from subject import Trouble

PYTHON = "/usr/bin/python3"

# What an agent in the process could break: threads, processes, signals, descriptors, memory, time, waiting, loading and
# tracing. Beside them a selection of what programs do all day.
MODULES = """
test_threading test_thread test_threadsignals test_threading_local test_threadedtempfile
test_queue test_sched test_contextlib test_context
test_subprocess test_popen test_signal test_os test_posix test_fork1 test_wait3 test_wait4 test_pty test_openpty test_pwd
test_exceptions test_atexit test_sys test_sys_settrace test_sys_setprofile test_faulthandler test_resource test_cmd_line
test_cmd_line_script test_runpy test_embed test_capi test_site test_eof test_regrtest
test_asyncio test_multiprocessing_fork test_multiprocessing_spawn test_multiprocessing_forkserver
test_multiprocessing_main_handling test_concurrent_futures test__xxsubinterpreters test_interpreters
test_select test_selectors test_epoll test_poll test_asyncore test_asynchat test_socket test_socketserver test_ssl
test_httplib test_http_cookies test_httpservers test_urllib test_ftplib test_smtplib test_xmlrpc test_wsgiref
test_mmap test_gc test_tracemalloc test_weakref test_memoryio test_memoryview test_array test_buffer test_bytes
test_ctypes test_importlib test_import test_zipimport test_generators test_coroutines test_asyncgen
test_time test_timeit test_timeout test_datetime test_profile test_cprofile test_pstats test_trace test_bdb test_pdb
test_sqlite3 test_dbm test_shelve test_pickle test_copy test_marshal test_json test_re test_string test_unicode test_str
test_io test_file test_fileio test_largefile test_tempfile test_shutil test_glob test_pathlib test_fcntl test_ioctl
test_syslog test_logging test_logging_config test_unittest test_doctest test_zlib test_gzip test_bz2 test_lzma test_hashlib
test_zipfile test_tarfile test_decimal test_float test_int test_long test_math test_cmath test_random test_statistics
test_dict test_list test_set test_tuple test_deque test_heapq test_itertools test_functools test_operator test_struct
test_collections test_enum test_dataclasses test_typing test_descr test_class test_compile test_ast test_dis test_peepholer
test_grammar test_syntax test_parser test_tokenize test_email test_csv test_xml_etree test_xml_etree_c test_pyexpat
test_minidom test_sax test_html test_argparse test_optparse test_getopt test_configparser test_locale test_codecs
test_stable_abi_ctypes test_cext test_code test_frame test_raise test_traceback test_warnings
""".split()

# they need what a machine may have and not be able to use, and wait for it for ever without the agent as well
IGNORED = ["*VSOCK*"]
LIMIT = 600
# resources of the tests that need neither network nor a sound card nor gigabytes
RESOURCES = "subprocess,cpu,tzdata"


def modules():
    """Those of the selection that this system has; what a version does not know is no result."""
    done = subprocess.run([PYTHON, "-c", "import test; print(test.__path__[0])"], capture_output=True, text=True, check=False)
    found = done.stdout.strip() or "nowhere"
    return [m for m in MODULES if os.path.exists("%s/%s.py" % (found, m)) or os.path.isdir("%s/%s" % (found, m))]


def verdict(case):
    """ok, or what went wrong with the first line of why: addresses and times in it are not part of the result."""
    for child in case:
        kind = {"skipped": "skip"}.get(child.tag, child.tag)
        if kind in ("failure", "error", "skip"):
            text = (child.get("message") or child.text or "").strip().splitlines()
            return "skip" if kind == "skip" else "%s: %s" % (kind, text[-1][:200] if text else "")
    return "ok" if case.get("result") == "completed" else case.get("result", "?")


def same(a, b):
    """Two verdicts are the same when both are ok, skipped, or fail in the same way; how a failure is worded may vary."""
    return a.split(":")[0] == b.split(":")[0]


def run(side, module, only=()):
    """{test: verdict} of a module, and of the module itself; `only` names some of its tests."""
    path = side.folder + "/results.xml"
    work = side.folder + "/work"
    os.makedirs(work)
    argv = [PYTHON, "-m", "test", "--junit-xml", path, "--tempdir", work, "-u", RESOURCES, "--timeout", str(LIMIT - 60)]
    for pattern in IGNORED:
        argv += ["-i", pattern]
    for name in only:
        argv += ["-m", name]
    results = {"[module]": side.finish([*argv, module], LIMIT)}
    try:
        cases = xml.parse(path).getroot().iter("testcase")
    except (OSError, xml.ParseError) as e:
        if results["[module]"] == "status 0":
            raise Trouble("%s: no results: %s" % (module, e)) from e
        return results
    for case in cases:
        name = case.get("name")
        # one test may report several times (subTest): the worst counts
        if results.get(name, "ok") == "ok":
            results[name] = verdict(case)
    return results
