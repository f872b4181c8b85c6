"""git over ssh: a clone, a push of a commit made in it, and another clone.

The history has many small files and a large one. With each installed engine.
"""

from __future__ import annotations

import getpass
import os
import random
import shlex
from typing import TYPE_CHECKING

from interop._commands import Stopwatch, output_of
from interop._facts import Facts, program, run_script
from interop._sshd import SshServer, sshd
from interop._tunnel import engines, tunnel

if TYPE_CHECKING:
    from pathlib import Path

FILES = 300
LARGE = 8_000_000

WHO = ("-c", "user.name=Interop", "-c", "user.email=interop@example.com")


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    program("git")
    with sshd(scratch) as server:
        for engine in engines():
            folder = scratch / engine
            folder.mkdir()
            bare = _repository(folder)
            with tunnel(server.address, scratch, engine) as there:
                _clone_and_push(facts, engine, folder, bare, _GitClient(server, there.outside_port))


class _GitClient:
    """The git commands of a client that reaches the server only through the tunnel."""

    def __init__(self, server: SshServer, outside: int) -> None:
        options = [*server.options, "-p", str(outside)]
        self._ssh = shlex.join([program("ssh"), *options])

    def git(self, *words: str | Path) -> str:
        return output_of([program("git"), *WHO, *words], GIT_SSH_COMMAND=self._ssh, **NO_SETTINGS)


NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def _git(*words: str | Path) -> str:
    return output_of([program("git"), *WHO, *words], **NO_SETTINGS).strip()


def _repository(folder: Path) -> Path:
    """Make a bare repository with a commit of many files."""
    bare, work = folder / "bare.git", folder / "work"
    _git("init", "-q", "--bare", "-b", "main", bare)
    _git("clone", "-q", bare, work)
    _git("-C", work, "checkout", "-q", "-B", "main")
    for number in range(FILES):
        path = work / f"{number % 10}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"file {number}\n" * number)
    (work / "large").write_bytes(random.Random(6).randbytes(LARGE))
    _commit(work, "Many files")
    _git("-C", work, "push", "-q", "origin", "main")
    return bare


def _commit(work: Path, message: str) -> None:
    _git("-C", work, "add", "-A")
    _git("-C", work, "commit", "-q", "-m", message)


def _clone_and_push(
    facts: Facts, engine: str, folder: Path, bare: Path, client: _GitClient
) -> None:
    address = f"ssh://{getpass.getuser()}@127.0.0.1{bare}"
    first, second = folder / "first", folder / "second"
    with Stopwatch() as watch:
        client.git("clone", "-q", address, first)
    head = _git("-C", bare, "rev-parse", "main")
    fact = f"{engine}: git clone, {FILES} files and 8 MB at {watch.rate(LARGE)}: the head is right"
    facts.equal(fact, _git("-C", first, "rev-parse", "HEAD") == head, True)
    (first / "large").write_bytes(random.Random(7).randbytes(LARGE))
    _commit(first, "Another large file")
    with Stopwatch() as watch:
        client.git("-C", first, "push", "-q", "origin", "main")
    head = _git("-C", first, "rev-parse", "HEAD")
    fact = f"{engine}: git push, 8 MB at {watch.rate(LARGE)}: the head is right"
    facts.equal(fact, _git("-C", bare, "rev-parse", "main") == head, True)
    client.git("clone", "-q", address, second)
    _git("-C", second, "fsck", "--full", "--strict")
    same = (first / "large").read_bytes() == (second / "large").read_bytes()
    facts.equal(
        f"{engine}: a clone of that: fsck finds nothing, the large file is right", same, True
    )


if __name__ == "__main__":
    run_script(script)
