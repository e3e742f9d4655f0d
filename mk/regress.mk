# Regression suites of other projects, without the agent and with it: tests/regress/README.md. Hours; not part of `check`.
.PHONY: regress
regress: all test-targets ## suites of CPython, PostgreSQL, redis, nginx with and without the agent; REGRESS= names some
	@/usr/bin/python3 tests/regress/compare.py $(O) $(REGRESS_FLAGS) $(REGRESS)
