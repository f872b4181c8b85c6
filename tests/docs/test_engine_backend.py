"""The engine's build backend says so if Rust is missing or too old."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine"
LEAST = tomllib.loads((ENGINE / "Cargo.toml").read_text("utf-8"))["package"]["rust-version"]


@pytest.fixture
def load(tmp_path):
    """Imports the backend with a stand-in for maturin and for cargo; returns the process."""
    hooks = [
        f"{prefix}build_{kind}"
        for kind in ("editable", "sdist", "wheel")
        for prefix in ("", "get_requires_for_", "prepare_metadata_for_")
    ]
    (tmp_path / "maturin.py").write_text("".join(f"{name} = None\n" for name in hooks))

    def run(version):
        if version is not None:
            cargo = tmp_path / "cargo"
            cargo.write_text(f"#!/bin/sh\necho 'cargo {version} (abcdef 2026-01-01)'\n")
            cargo.chmod(0o755)
        return subprocess.run(
            [sys.executable, "-c", "import backend"],
            cwd=ENGINE,
            env={"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ENGINE}"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("version", "has"),
    [(None, "Rust is not installed"), ("1.63.0", "Rust here is 1.63.0"), ("odd", "here is odd")],
)
def test_without_a_new_enough_rust(load, version, has):
    done = load(version)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"needs Rust {LEAST} or newer" in done.stderr
    assert has in done.stderr


@pytest.mark.parametrize("version", [f"{LEAST}.0", "1.99.1-nightly", "2.0.0"])
def test_with_a_new_enough_rust(load, version):
    done = load(version)
    assert (done.returncode, done.stderr) == (0, "")
