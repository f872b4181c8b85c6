"""quictunnel together with other programs: `make interop`.

`make interop ARGS=nginx` runs one script. `make interop` installs what the scripts import.
`.venv/bin/python -m interop.caddy --help` then lists options.

Each module without an underscore is a script that prints a line for each fact. Its exit code is 0
if all facts hold, 1 if one does not, and 2 if the other program is missing.
"""
