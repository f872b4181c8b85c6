"""Builds the Go programs of interop/origin-go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from testkit.programs import MissingError, ProgramError

SOURCES = Path(__file__).parent / "origin-go"

USUAL = "/usr/local/go/bin"
"""The folder of Go's own packages, which may be missing in PATH."""


def go() -> str:
    """Return the path of a Go that is new enough.

    :raises MissingError: Go is missing or too old.
    """
    found = re.search(r"^go (\d+)\.(\d+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert found
    least = int(found[1]), int(found[2])
    path = shutil.which("go") or shutil.which("go", path=USUAL)
    if path is None:
        raise MissingError("go is not installed")
    # In the module's folder, a Go that can download a newer one reports the newer version.
    said = subprocess.run(
        [path, "env", "GOVERSION"], cwd=SOURCES, capture_output=True, text=True, check=False
    )
    has = tuple(int(digits) for digits in re.findall(r"\d+", said.stdout)[:2])
    if has < least:
        raise MissingError(
            f"go {least[0]}.{least[1]} is not installed, only {said.stdout.strip() or path}"
        )
    return path


def build(folder: Path) -> dict[str, Path]:
    """Check and build the programs into a folder; return their paths.

    :raises MissingError: Go is missing or too old.
    :raises ProgramError: gofmt, vet, a test or the compiler reports an error.
    """
    compiler = go()
    folder.mkdir(exist_ok=True)
    formatter = Path(os.path.realpath(compiler)).with_name("gofmt")
    if unformatted := _run([str(formatter), "-l", "."]):
        raise ProgramError(f"gofmt would change {unformatted}")
    _run([compiler, "vet", "./..."])
    _run([compiler, "test", "./path", "./wire"])
    _run([compiler, "build", "-buildvcs=false", "-o", f"{folder}/", "./..."])
    return {name: folder / name for name in ("origin", "remote", "middle")}


def _run(command: list[str]) -> str:
    ended = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ProgramError(f"{' '.join(command)}: {ended.stdout}{ended.stderr}")
    return ended.stdout.strip()
