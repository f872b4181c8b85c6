"""rsync's daemon: a tree up and down, then only the changes of a large file.

With each installed engine.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from typing import TYPE_CHECKING

from interop._commands import Stopwatch, output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import listening
from testkit.programs import free_port

if TYPE_CHECKING:
    from pathlib import Path

FILES = 1000
LARGE = 20_000_000

CONFIG = """
address = 127.0.0.1
port = {port}
use chroot = no
{user}
[there]
  path = {folder}
  read only = no
"""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    command = program("rsync")
    here = _tree(scratch / "here")
    there = scratch / "there"
    port = free_port()
    config = scratch / "rsyncd.conf"
    # Started by root, it would drop its privileges and could not write to our folder.
    user = "" if os.geteuid() else "uid = 0\ngid = 0"
    config.write_text(CONFIG.format(port=port, folder=there, user=user))
    daemon = [command, "--daemon", "--no-detach", f"--config={config}"]
    with listening("rsync", daemon, scratch, port):
        for engine in engines():
            there.mkdir()
            with tunnel(f"127.0.0.1:{port}", scratch, engine) as up:
                _both_ways(facts, engine, here, f"rsync://127.0.0.1:{up.outside_port}/there/")
            shutil.rmtree(there)


def _tree(folder: Path) -> Path:
    for number in range(FILES):
        path = folder / f"{number % 20}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}\n" * number)
    (folder / "large").write_bytes(random.Random(8).randbytes(LARGE))
    return folder


def _both_ways(facts: Facts, engine: str, here: Path, module: str) -> None:
    back = here.with_name(f"back-{engine}")
    with Stopwatch() as watch:
        _rsync("--archive", f"{here}/", module)
    with Stopwatch() as again:
        _rsync("--archive", module, f"{back}/")
    told = f"at {watch.rate(LARGE)} and {again.rate(LARGE)}"
    differs = output_of(["diff", "--recursive", "--brief", here, back])
    facts.equal(
        f"{engine}: rsync, {FILES} files and 20 MB up and down {told}: differences", differs, ""
    )
    with (back / "large").open("r+b") as file:
        file.seek(LARGE // 2)
        file.write(b"another word")
    stats = _rsync("--archive", "--checksum", "--no-whole-file", "--stats", f"{back}/", module)
    found = re.search(r"Literal data: ([\d,]+)", stats)
    literal = int(found[1].replace(",", "")) if found else LARGE
    fact = f"{engine}: rsync, one word of 20 MB has changed: bytes of the file that travelled"
    facts.holds(fact, literal, when=0 < literal < LARGE // 100)
    changes = _rsync(
        "--archive", "--checksum", "--dry-run", "--itemize-changes", f"{back}/", module
    )
    facts.equal(f"{engine}: rsync, with checksums: what is still to be done", changes, "")
    shutil.rmtree(back)


def _rsync(*words: str | Path) -> str:
    return output_of([program("rsync"), *words])


if __name__ == "__main__":
    run_script(script)
