"""quictunnel beside other people's programs: `make interop`, or one: `python -m interop.nginx`.

Each module whose name does not begin with an underscore is a script that prints a line for each
fact, and ends with 0 when all hold, 1 when one does not, 2 when the other program is missing.
"""
