#!/bin/sh
# Removes the state of a remote if the package is purged: its token, certificate and reset key. The
# user stays, as Debian recommends, because files may still belong to it.
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke daemon-reload >/dev/null || true
fi

if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge quictunnel-remote.socket quictunnel-remote.service quictunnel-origin.service \
      >/dev/null || true
  fi
  rm -rf /var/lib/quictunnel
fi
