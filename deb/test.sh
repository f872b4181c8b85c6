#!/bin/sh
# Checks a Debian package with lintian, installs it into a new minimal system, and uses it there.
# It needs root, and Debian's archive. usage: deb/test.sh FILE.deb [RELEASE]
set -eu
package=$1
release=${2:-bookworm}

lintian --allow-root --fail-on error,warning "$package"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

# Everything in one call, so that the new system has /proc and /dev, and loses them at its end.
mmdebstrap --quiet --variant=minbase --include=man-db,groff-base \
  --customize-hook="copy-in $package /root" \
  --customize-hook='cat >"$1/root/check.sh"' \
  --customize-hook='chroot "$1" sh -eux /root/check.sh' \
  "$release" "$root/system.tar" <<'CHECK'
apt-get install -q -y --no-install-recommends /root/quictunnel_*.deb
quictunnel --version
quictunnel --version | grep '^engine quinn: .*used by default$'
quictunnel --version | grep '^engine aioquic: '
for page in /usr/share/man/man1/quictunnel*.gz; do
  test -z "$(man --warnings --local-file "$page" 2>&1 >/dev/null)"
done
man quictunnel-origin | grep -q 'QUICTUNNEL_TOKEN_FILE'
test -n "$(_QUICTUNNEL_COMPLETE=complete_bash COMP_WORDS='quictunnel rem' COMP_CWORD=1 quictunnel)"
quictunnel check /etc/quictunnel/remote.toml
getent passwd quictunnel
test -n "$(find /usr/lib/quictunnel -name '*.pyc' | head -n 1)"
setpriv --reuid=quictunnel --regid=quictunnel --clear-groups quictunnel demo --once
# Libraries of the system, and of the user, are not used.
mkdir -p /usr/lib/python3/dist-packages/aioquic
echo 'raise SystemExit("the library of the system")' >/usr/lib/python3/dist-packages/aioquic/__init__.py
quictunnel --version
rm -r /usr/lib/python3/dist-packages/aioquic
apt-get install -q -y --reinstall /root/quictunnel_*.deb
apt-get purge -q -y quictunnel
for path in /usr/lib/quictunnel /usr/bin/quictunnel /etc/quictunnel /var/lib/quictunnel; do
  test ! -e "$path"
done
CHECK
echo "$package works on $release"
