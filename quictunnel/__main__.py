"""Entry point of `quictunnel` and `python -m quictunnel`."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C while the program is still loading: 128 + SIGINT, as shells expect."""


def main() -> None:
    """Run the program with the process's arguments, and exit."""
    try:
        # Imported here because it takes half a second, in which the user may press Ctrl-C.
        from quictunnel.cli.main import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
