"""What the commands print: results on standard output, a failure's one sentence on the other."""

from __future__ import annotations

import contextlib
import sys

from quictunnel.observe.logs import escape


def say(line: str) -> None:
    """Print a line on standard output at once, for whoever waits for it."""
    # The reader may have what it wanted and be gone (`| head -1`); the tunnel goes on without it.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def complain(program: str, sentence: str) -> None:
    """Print one sentence on standard error, escaped: it may quote a peer or a file."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{program}: {escape(' '.join(sentence.split()))}\n")
        sys.stderr.flush()
