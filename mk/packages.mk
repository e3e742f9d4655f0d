# The Debian packages the build and the tests need. As root `make` installs what is missing; otherwise it names them.
PACKAGES_BUILD := gcc libc6-dev make pkg-config libunwind-dev libelf-dev libdw-dev libcjson-dev zlib1g-dev libsqlite3-dev libiberty-dev

.PHONY: packages
packages:
