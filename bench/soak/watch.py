"""The resources of a program by the kernel, and its clients by its log. Linux only."""

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
class Resources:
    """The resources of a program at one time."""

    resident: int
    """Resident memory in bytes, including shared pages (RSS)."""
    unique: int
    """Memory in bytes without shared pages (USS)."""
    threads: int
    descriptors: int


def resources(pid: int) -> Resources:
    """Return the resources of a running program."""
    proc = Path(f"/proc/{pid}")
    memory = (proc / "smaps_rollup").read_text()
    lines = re.findall(r"^(\w+): +(\d+) kB", memory, re.MULTILINE)
    kilobytes = {name: int(size) for name, size in lines}
    threads = re.search(r"^Threads:\s+(\d+)", (proc / "status").read_text(), re.MULTILINE)
    return Resources(
        resident=kilobytes["Rss"] * 1024,
        unique=(kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) * 1024,
        threads=int(threads[1]) if threads else 0,
        descriptors=len(os.listdir(proc / "fd")),
    )


def open_files(pid: int) -> Counter[str]:
    """Return the kinds of open files of a program, and the number of each."""
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[re.sub(r":\[\d+\]", "", str(link.readlink()))] += 1
        except FileNotFoundError:
            continue  # closed since
    return kinds


@dataclass
class JsonLog:
    """A growing log of quictunnel in JSON."""

    path: Path
    present: set[str] = field(default_factory=set)
    """The ids of clients that were accepted and have not closed."""
    levels: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    """Bad lines: errors, and lines that are no log lines (tracebacks)."""
    links: int = 0
    """Links that were established."""
    _read: int = 0

    def read(self) -> None:
        """Read the lines that were written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # an incomplete line
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
