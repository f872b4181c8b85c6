"""`python -m interop [NAME…]`: run all scripts of this folder or those named, and print a table."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from interop._facts import FAILED, HELD, MISSING, OK

WORDS = {HELD: "all hold", FAILED: "[red]failed[/]", MISSING: "[red]something is missing[/]"}

BESIDE = (("redis",), ("origin_go", "websocket"), ("websocket_path",))
"""Scripts that mostly wait. Each group runs beside all others, in this order."""

WIDTH = 15
"""Columns for the script's name."""


@dataclass(frozen=True)
class ScriptResult:
    """How a script ended."""

    code: int
    held: int
    """Facts that hold."""
    seconds: float


def main(names: list[str]) -> int:
    """Run the scripts, those that mostly wait beside the others; return the worst exit code."""
    folder = Path(__file__).parent
    scripts = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if unknown := set(names) - set(scripts):
        print(f"no such script: {', '.join(unknown)}; there are {', '.join(scripts)}")
        return MISSING
    chosen = names or scripts
    lanes = [[name for name in group if name in chosen] for group in BESIDE]
    lanes.append([name for name in chosen if not any(name in group for group in BESIDE)])
    ends: dict[str, ScriptResult] = {}
    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(_run_all, lane, ends) for lane in lanes]:
            done.result()
    table = Table("script", "facts", "end", "seconds", title="quictunnel beside other programs")
    for name in chosen:
        end = ends[name]
        word = WORDS.get(end.code, f"[red]exit {end.code}[/]")
        table.add_row(name, str(end.held), word, f"{end.seconds:.1f}")
    Console().print(table)
    codes = {end.code for end in ends.values()}
    if codes <= {HELD}:
        return HELD
    return MISSING if codes <= {HELD, MISSING} else FAILED


def _run_all(names: list[str], ends: dict[str, ScriptResult]) -> None:
    for name in names:
        ends[name] = run(name)


def run(name: str) -> ScriptResult:
    """Run one script, and print its output with its name in front of each line."""
    start = time.monotonic()
    held = 0
    command = [sys.executable, "-m", f"interop.{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(f"{name:{WIDTH}}{line}", end="", flush=True)
            held += line.startswith(OK)
    return ScriptResult(process.returncode, held, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
