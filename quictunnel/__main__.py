"""`python -m quictunnel` is the program `quictunnel`."""

from __future__ import annotations

from quictunnel.cli.main import main

if __name__ == "__main__":
    main()
