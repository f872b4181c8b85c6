#!/bin/sh
# Runs an image: its version and engines, its user, and a remote that becomes healthy and stops.
# usage: contrib/image/test.sh TOOL IMAGE
set -eu
tool=$1
image=$2

"$tool" run --rm "$image" --version | tee /dev/stderr | grep -q '^engine quinn: .*used by default$'
"$tool" run --rm "$image" --version | grep -q '^engine aioquic: '
test "$("$tool" run --rm --entrypoint id "$image" -u)" = 65532
"$tool" run --rm "$image" demo --once

name=quictunnel-test-$$
"$tool" run --detach --name "$name" --read-only --cap-drop ALL --tmpfs /run/quictunnel:mode=0700,uid=65532 \
  --volume "$name:/state" "$image" remote >/dev/null
trap '"$tool" rm --force "$name" >/dev/null; "$tool" volume rm "$name" >/dev/null' EXIT
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  if "$tool" exec "$name" quictunnel status; then
    "$tool" exec "$name" quictunnel token show >/dev/null
    "$tool" stop --time 20 "$name" >/dev/null
    test "$("$tool" inspect --format '{{.State.ExitCode}}' "$name")" = 0
    echo "$image works"
    exit 0
  fi
  sleep 1
done
"$tool" logs "$name" >&2
exit 1
