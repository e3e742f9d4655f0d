#!/bin/sh
# packages.sh NAME...: makes sure that these Debian packages are installed.
# As root missing ones are installed; otherwise the command that would do it is printed, and the status is 1.
# A system without dpkg is left alone: there the compiler says what is missing.
set -eu

command -v dpkg-query >/dev/null || {
	echo "perfagent: no dpkg here: install what corresponds to: $*" >&2
	exit 0
}

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
	awk '$2 == "installed" { print $1 }') || true
missing=
for name; do
	printf '%s\n' "$installed" | grep -qxF -e "$name" || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "perfagent: packages are missing; run as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "perfagent: installing:$missing"
export DEBIAN_FRONTEND=noninteractive

# Some of the packages are services. They are test subjects, started by the tests with their own configuration: an
# installation starts none, and none is started at the next boot.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

apt() {
	apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" </dev/null
}
# shellcheck disable=SC2086 # a list of words
apt install --no-install-recommends $missing >/dev/null 2>&1 || {
	# no package lists yet, or lists older than the archive
	apt update
	apt install --no-install-recommends $missing
}

if [ -d /run/systemd/system ]; then
	for service in redis-server nginx postgresql; do
		case " $missing " in
		*" $service"*) systemctl disable --now "$service" >/dev/null 2>&1 || true ;;
		esac
	done
fi
