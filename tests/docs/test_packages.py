"""The files of the Debian package and of the container image fit the program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from deb import build, variables
from docs import units
from quictunnel.cli.main import invoke

ROOT = Path(__file__).parents[2]
NFPM = (ROOT / "deb" / "nfpm.yaml").read_text("utf-8")
COMPOSE = (ROOT / "contrib" / "compose" / "compose.yaml").read_text("utf-8")
SCRIPTS = sorted([*(ROOT / "deb").glob("*.sh"), *(ROOT / "contrib").glob("*/*.sh")])


def test_the_package_consists_of_files_that_exist():
    sources = re.findall(r"(?:src|install|remove): (\S+)", NFPM)
    assert len(sources) > 10
    for source in sources:
        assert source.startswith("build/deb/") or (ROOT / source).exists(), source


def test_the_package_has_its_variables():
    assert set(re.findall(r"\$\{(\w+)\}", NFPM)) == variables.variables("amd64").keys()


def test_the_package_works_with_every_python_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    listed = [text.rpartition(" ")[2] for text in project["classifiers"] if text.startswith(prefix)]
    assert tuple(listed) == build.PYTHONS


def test_the_units_of_the_package_run_as_its_user():
    for name, text in units.units(build.PROGRAM, user=build.USER).items():
        if name.endswith(".service"):
            assert f"ExecStart={build.PROGRAM} " in text
            assert f"\nUser={build.USER}\n" in text
            assert "DynamicUser" not in text
    line = (ROOT / "deb" / "sysusers.conf").read_text("utf-8").splitlines()[-1]
    assert line.split()[:2] == ["u", build.USER]


@pytest.mark.parametrize("role", ["remote", "origin"])
def test_the_settings_of_the_package_are_valid(role, tmp_path, capsys):
    text = (ROOT / "deb" / f"{role}.toml").read_text("utf-8")
    examples = re.sub(r"^# (?=\[|[a-z-]+ = )", "", text, flags=re.MULTILINE)
    assert examples != text
    path = tmp_path / f"{role}.toml"
    path.write_text(examples)
    assert invoke(["check", "--role", role, str(path)]) == 0
    if role == "remote":
        path.write_text(text)
        assert invoke(["check", "--role", role, str(path)]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_valid(path):
    subprocess.run(["sh", "-n", path], check=True)


def test_the_command_of_the_compose_file_is_valid(capsys):
    (words,) = re.findall(r"command: (\[.*\])", COMPOSE)
    role, *options = json.loads(words)
    command = ["service", "install", role, "--manager", "systemd", "--print", "--", *options]
    assert invoke(command) == 0
    capsys.readouterr()
    (subnet,) = re.findall(r"subnet: (\S+)", COMPOSE)
    assert subnet in options


def test_the_containerfile_builds_from_files_that_exist():
    text = (ROOT / "Containerfile").read_text("utf-8")
    allowed = (ROOT / ".dockerignore").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.*) \./$", text, re.MULTILINE)[0].split()
    for name in copied:
        assert f"!{name.removesuffix('/')}" in allowed
        assert name.startswith("build/") or (ROOT / name).exists()
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)


@pytest.mark.parametrize("shell", build.SHELLS)
def test_the_shell_accepts_the_completions(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"this needs the program {shell}")
    path = tmp_path / shell
    path.write_text(build.script(shell))
    subprocess.run([shell, "-n", path], check=True)
