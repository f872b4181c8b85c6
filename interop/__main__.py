"""`python -m interop [NAME…]`: runs all scripts of this folder, or those named, and sums up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from interop._facts import FAILED, HELD, MISSING, OK

WORDS = {HELD: "all hold", FAILED: "[red]failed[/]", MISSING: "[red]something is missing[/]"}


def main(names: list[str]) -> int:
    """Run the scripts one after the other; return the worst of their ends."""
    folder = Path(__file__).parent
    scripts = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if unknown := set(names) - set(scripts):
        print(f"no such script: {', '.join(unknown)}; there are {', '.join(scripts)}")
        return MISSING
    table = Table("script", "facts", "end", "seconds", title="quictunnel beside other programs")
    ends = []
    for name in names or scripts:
        print(f"--- {name}")
        start = time.monotonic()
        end, held = run(name)
        ends.append(end)
        seconds = time.monotonic() - start
        table.add_row(name, str(held), WORDS.get(end, f"[red]exit {end}[/]"), f"{seconds:.1f}")
    Console().print(table)
    if set(ends) <= {HELD}:
        return HELD
    return MISSING if set(ends) <= {HELD, MISSING} else FAILED


def run(name: str) -> tuple[int, int]:
    """Run one script, showing what it prints; return its exit code and how many facts held."""
    held = 0
    command = [sys.executable, "-m", f"interop.{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            held += line.startswith(OK)
    return process.returncode, held


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
