"""The build backend (PEP 517): maturin, after a check that Rust is installed and new enough.

Without the check, the build fails late, with pages of output that do not name the cause.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from maturin import (  # the hooks
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def check_rust() -> None:
    """End the process with a sentence if Rust is missing or too old."""
    manifest = tomllib.loads(Path(__file__).with_name("Cargo.toml").read_text("utf-8"))
    least = str(manifest["package"]["rust-version"])
    found = _version()
    if found is not None and _numbers(found) >= _numbers(least):
        return
    has = "is not installed" if found is None else f"here is {found}"
    sys.exit(
        f"The quinn engine needs Rust {least} or newer, and Rust {has}. Install it from "
        "https://rustup.rs, or copy a wheel that 'pip wheel ./engine' has built on a machine of "
        "the same kind. quictunnel also works without this engine."
    )


def _version() -> str | None:
    """Return the version of the installed Rust, or None without one."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours
            [cargo, "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    words = done.stdout.split()
    return words[1] if len(words) > 1 else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())


check_rust()  # whichever hook is called
