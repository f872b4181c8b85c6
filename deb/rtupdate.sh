#!/bin/sh
# Python calls this when the machine's default version changes.
set -e

if [ "$1" = rtupdate ]; then
  py3clean -p quictunnel /usr/lib/quictunnel
  py3compile -p quictunnel /usr/lib/quictunnel
fi
