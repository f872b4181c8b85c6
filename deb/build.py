"""Fills build/deb with the content of the Debian package, for `make deb`.

The libraries come from PyPI, with the versions and hashes of requirements.lock. Most are the same
for every Python. Compiled ones have a file for each version, whose name says which, so that one
folder serves Debian's and Ubuntu's releases.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from email.utils import formatdate
from pathlib import Path

from docs import man, units
from quictunnel import __version__
from quictunnel.cli.completion import script

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "deb"
LOCK = ROOT / "requirements.lock"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The versions of Python that the package works with."""

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""The names of wheels' machines, by Debian's."""

LIBC = (2, 36)
"""The version of the C library in the oldest release that the package is for, Debian 12."""

MAINTAINER = "The quictunnel authors <quictunnel@users.noreply.github.com>"

USER = "quictunnel"
PROGRAM = "/usr/bin/quictunnel"

SHELLS = ("bash", "zsh", "fish")

NOT_PACKAGED = {
    "bin",
    "RECORD",
    "WHEEL",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "__pycache__",
}
"""Files of an installation by pip that describe the installation and not the package."""


def main() -> None:
    """Fill build/deb."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=MACHINES, required=True)
    parser.add_argument("--wheel", type=Path, required=True, help="quictunnel's wheel")
    parser.add_argument("--engine", type=Path, required=True, help="the quinn engine's wheel")
    options = parser.parse_args()
    shutil.rmtree(BUILD, ignore_errors=True)
    library = BUILD / "lib"
    for python in PYTHONS:
        _install_libraries(BUILD / python, python, options.arch)
        _merge(BUILD / python, library)
    own = [options.wheel, options.engine]
    _pip(BUILD / "own", ["--no-deps", *own], platforms=platforms(options.arch))
    _merge(BUILD / "own", library)
    _write(BUILD / "units", units.units(PROGRAM, user=USER))
    _write(BUILD / "completions", {shell: f"{script(shell)}\n" for shell in SHELLS})
    for name, text in man.pages().items():
        _write_compressed(BUILD / "man" / f"{name}.gz", text)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    _write_compressed(BUILD / "doc" / "CHANGELOG.md.gz", changes)
    _write_compressed(BUILD / "doc" / "changelog.gz", changelog(__version__))
    _write(BUILD / "doc", {"copyright": copyrights(library)})


def platforms(arch: str) -> list[str]:
    """Return the platforms whose wheels run on the oldest release, the newest first."""
    machine = MACHINES[arch]
    newest = range(LIBC[1], 16, -1)
    return [*(f"manylinux_{LIBC[0]}_{minor}_{machine}" for minor in newest), f"linux_{machine}"]


def changelog(version: str) -> str:
    """Return the changelog in Debian's format, which leads to ours.

    Its date is SOURCE_DATE_EPOCH if that is set, otherwise now.
    """
    now = formatdate(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    return f"""\
quictunnel ({version}) unstable; urgency=medium

  * See /usr/share/doc/quictunnel/CHANGELOG.md.gz.

 -- {MAINTAINER}  {now}
"""


def copyrights(library: Path) -> str:
    """Return the copyright file: our licence, and those of the libraries."""
    licence = (ROOT / "LICENSE").read_text("utf-8")
    holder = next(line for line in licence.splitlines() if line.startswith("Copyright"))
    lines = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: quictunnel",
        "",
        "Files: *",
        f"Copyright: {holder.removeprefix('Copyright (c) ')}",
        "License: MIT",
        *(f" {line.strip() or '.'}" for line in licence.splitlines()[4:]),
    ]
    for folder in sorted(library.glob("*.dist-info")):
        about = HeaderParser().parsestr((folder / "METADATA").read_text("utf-8"))
        if about["Name"] == "quictunnel":
            continue
        name = about["License-Expression"] or about["License"] or "see its files"
        author = about["Author"] or about["Author-email"] or f"the authors of {about['Name']}"
        lines += [
            "",
            f"Files: usr/lib/quictunnel/{folder.name}/*",
            f"Copyright: {' '.join(author.split())}",
            f"License: {about['Name']}-{about['Version']}",
            f" {name.splitlines()[0]}",
            " .",
            f" The text is in /usr/lib/quictunnel/{folder.name}.",
        ]
    return "\n".join(lines) + "\n"


def _install_libraries(folder: Path, python: str, arch: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = BUILD / "dependencies.txt"
    needed.parent.mkdir(parents=True, exist_ok=True)
    needed.write_text("\n".join(project["dependencies"]))
    words: list[str | Path] = [
        "--python-version",
        python,
        "--implementation",
        "cp",
        "--require-hashes",
    ]
    words += ["--constraint", LOCK, "--requirement", needed]
    _pip(folder, words, platforms=platforms(arch))


def _pip(folder: Path, words: Iterable[str | Path], platforms: Iterable[str]) -> None:
    """Install wheels into a folder."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    command += ["--target", str(folder), "--no-compile", "--only-binary=:all:"]
    command += [word for platform in platforms for word in ("--platform", platform)]
    subprocess.run([*command, *map(str, words)], check=True)  # noqa: S603 - the words are ours


def _merge(source: Path, target: Path) -> None:
    """Move the files of a folder into another one. Code that both have must be the same."""
    for path in _files(source):
        place = target / path.relative_to(source)
        if place.exists():
            is_about_wheel = any(parent.suffix == ".dist-info" for parent in place.parents)
            if not (is_about_wheel or filecmp.cmp(path, place, shallow=False)):
                raise SystemExit(f"{place} differs between versions of Python")
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        place.chmod(0o644)
    shutil.rmtree(source)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_PACKAGED:
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def _write_compressed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
