"""quictunnel beside other people's programs: `make interop`, or one: `make interop ARGS=nginx`.

Once that has installed what they import, `.venv/bin/python -m interop.caddy --help` tells options.

Each module whose name does not begin with an underscore is a script that prints a line for each
fact, and ends with 0 when all hold, 1 when one does not, 2 when the other program is missing.
"""
