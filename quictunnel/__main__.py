"""The program `quictunnel`, which `python -m quictunnel` is as well: its very first steps."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C has ended before it could begin: 128 + SIGINT."""


def main() -> None:
    """Run the program with the process's arguments, and exit."""
    try:
        # Here, since it takes half a second, in which Ctrl-C is as good as at any other time.
        from quictunnel.cli.main import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
