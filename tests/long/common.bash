# The volume runs: minutes of storms, bare bounds, foreign test suites. The harness of the survive tests with longer limits.
load ../e2e/common
LONG_SECONDS=${LONG_SECONDS:-60}
