#!/bin/sh
# Makes the user, compiles the modules, and restarts services that run an older version. The services
# are not started at the installation, because most machines need only one of the two, with settings.
set -e

if [ "$1" = configure ]; then
  systemd-sysusers quictunnel.conf
  py3compile -p quictunnel /usr/lib/quictunnel
fi

if [ -d /run/systemd/system ]; then
  deb-systemd-invoke daemon-reload >/dev/null || true
  if [ "$1" = configure ] && [ -n "$2" ]; then
    deb-systemd-invoke try-restart quictunnel-remote.service quictunnel-origin.service >/dev/null || true
  fi
fi
