#!/bin/sh
# Stops the services if the package is removed, and removes compiled modules.
set -e

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop quictunnel-remote.socket quictunnel-remote.service quictunnel-origin.service \
    >/dev/null || true
fi

py3clean -p quictunnel /usr/lib/quictunnel
