"""What a program holds, as the kernel tells it, and what its log says. Linux only."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from testkit.programs import (
    CLIENT_ACCEPTED,
    CLIENT_CLOSED,
    LINK_ESTABLISHED,
    ORIGIN_CONNECTED,
)


@dataclass(frozen=True)
class Holdings:
    """What a program holds at one time."""

    resident: int
    """Bytes of memory that are in use, shared ones too (RSS)."""
    unique: int
    """Bytes that nobody shares (USS)."""
    threads: int
    descriptors: int


def holdings(pid: int) -> Holdings:
    """Return what a running program holds."""
    proc = Path(f"/proc/{pid}")
    memory = (proc / "smaps_rollup").read_text()
    lines = re.findall(r"^(\w+): +(\d+) kB", memory, re.MULTILINE)
    kilobytes = {name: int(size) for name, size in lines}
    threads = re.search(r"^Threads:\s+(\d+)", (proc / "status").read_text(), re.MULTILINE)
    return Holdings(
        resident=kilobytes["Rss"] * 1024,
        unique=(kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) * 1024,
        threads=int(threads[1]) if threads else 0,
        descriptors=len(os.listdir(proc / "fd")),
    )


def open_files(pid: int) -> Counter[str]:
    """Return what kinds of files a program has open, and how many of each."""
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[re.sub(r":\[\d+\]", "", str(link.readlink()))] += 1
        except FileNotFoundError:
            continue  # closed meanwhile
    return kinds


@dataclass
class JsonLog:
    """What a quictunnel has logged in JSON, read on and on."""

    path: Path
    present: set[str] = field(default_factory=set)
    """The ids of clients that came in and did not go out."""
    levels: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    """Lines that must not be: errors, and what is no log line (a traceback)."""
    links: int = 0
    """Links that have stood."""
    _read: int = 0

    def read(self) -> None:
        """Take what has been written since."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # half a line; the rest comes
                self._read += len(line)
                self._take(line.decode(errors="replace"))

    def _take(self, line: str) -> None:
        try:
            facts = json.loads(line)
        except ValueError:
            self.bad.append(line.rstrip())
            return
        self.levels[facts["level"]] += 1
        if facts["level"] in ("error", "critical"):
            self.bad.append(line.rstrip())
        elif facts["message"] == CLIENT_ACCEPTED:
            self.present.add(facts["id"])
        elif facts["message"] == CLIENT_CLOSED:
            self.present.discard(facts["id"])
        elif facts["message"] in (LINK_ESTABLISHED, ORIGIN_CONNECTED):
            self.links += 1
