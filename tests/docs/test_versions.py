"""Both packages, quictunnel and its engine in Rust, have the same version and fit each other."""

from __future__ import annotations

import contextlib
import re
import tomllib
from importlib import metadata
from pathlib import Path

from quictunnel import __version__
from quictunnel.cli.main import invoke

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine"


def toml(path: Path) -> dict:
    return tomllib.loads(path.read_text("utf-8"))


def the_number(pattern: str, *paths: Path) -> str:
    """Return the only match of the pattern in these files."""
    (found,) = re.findall(pattern, "".join(path.read_text("utf-8") for path in paths), re.MULTILINE)
    return found


def test_the_program_prints_its_version(capsys):
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"quictunnel {__version__}"


def test_the_installed_packages_have_the_version_of_the_sources():
    assert metadata.version("quictunnel") == __version__
    with contextlib.suppress(metadata.PackageNotFoundError):  # the engine is optional
        assert metadata.version("quictunnel-quinn") == __version__


def test_wheels_of_the_engine_have_its_version():
    for wheel in ENGINE.glob("target/wheels/*.whl"):
        assert wheel.name.startswith(f"quictunnel_quinn-{__version__}-cp311-abi3-")


def test_the_engine_is_of_the_same_version():
    assert toml(ENGINE / "Cargo.toml")["package"]["version"] == __version__


def test_the_engines_lock_file_knows_its_version():
    packages = {package["name"]: package for package in toml(ENGINE / "Cargo.lock")["package"]}
    assert packages["quictunnel-quinn"]["version"] == __version__


def test_the_engines_wheel_takes_its_version_from_cargo():
    project = toml(ENGINE / "pyproject.toml")["project"]
    assert project["dynamic"] == ["version"]


def test_the_extra_asks_for_the_engine_of_this_version():
    extras = toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    assert extras == {"fast": [f"quictunnel-quinn=={__version__}"]}


def test_both_packages_want_the_same_python():
    ours, its = (toml(folder / "pyproject.toml")["project"] for folder in (ROOT, ENGINE))
    assert its["requires-python"] == ours["requires-python"]
    least = ours["requires-python"].removeprefix(">=").replace(".", "")
    pyo3 = toml(ENGINE / "Cargo.toml")["dependencies"]["pyo3"]
    assert pyo3["features"] == [f"abi3-py{least}"]


def test_the_interface_between_them_has_one_number():
    offered = the_number(r"^pub const API: u32 = (\d+);", ENGINE / "src" / "lib.rs")
    sources = (ROOT / "quictunnel" / "quic" / "engines" / "quinn").glob("*.py")
    assert the_number(r"^API = (\d+)$", *sources) == offered


def test_the_page_for_contributors_names_the_rust_that_is_needed():
    needed = toml(ENGINE / "Cargo.toml")["package"]["rust-version"]
    assert f"Rust {needed}" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
