"""The pages speak of options, files and defaults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from bench.__main__ import main as bench
from bench.line.__main__ import main as line
from bench.soak.__main__ import main as soak
from quictunnel.cli.main import app

ROOT = Path(__file__).parents[2]
BELOW = [ROOT / folder / "README.md" for folder in ("certs", "engine")]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *BELOW]
ROLES = ("remote", "origin")

OTHERS = {"--config", "--editable", "--group", "--no-default-features", "--now", "--system"}
"""Options of Caddy, pip, cargo, systemctl and sysctl."""


def options(command) -> dict:
    parameters = [option for option in command.params if option.param_type_name == "option"]
    found = {name: option for option in parameters for name in option.opts}
    for child in getattr(command, "commands", {}).values():
        found |= options(child)
    return found


PROGRAM = typer.main.get_command(app)


def options_of(main) -> dict:
    program = typer.Typer()
    program.command()(main)
    return options(typer.main.get_command(program))


BESIDE = options_of(bench) | options_of(soak) | options_of(line)
"""Those of the programs that belong to the project but not to what is installed."""


def page(path: Path):
    return pytest.param(path.read_text("utf-8"), path.parent, id=str(path.relative_to(ROOT)))


EACH_PAGE = [page(path) for path in PAGES]


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_links_lead_somewhere(text, folder):
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (folder / target).exists(), target


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_options_exist(text, folder):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named - OTHERS <= options(PROGRAM).keys() | BESIDE.keys() | {"--help", "--strict"}


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_environment_variables_exist(text, folder):
    known = {option.envvar for option in options(PROGRAM).values()}
    assert set(re.findall(r"QUICTUNNEL_[A-Z_]+", text)) <= known


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_has_every_option_of_the_roles(role):
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.partition("## Options")[2].partition("\n## ")[0]
    for name in options(PROGRAM.commands[role]).keys() - {"--help", "-h"}:
        assert f"`{name}" in table


def test_the_readmes_defaults_are_the_programs():
    readme = (ROOT / "README.md").read_text("utf-8")
    known = options(PROGRAM.commands["remote"]) | options(PROGRAM.commands["origin"])
    rows = re.findall(r"^\| `(--[a-z-]+)[^|]*\| `([^`|]+)` \|", readme, re.MULTILINE)
    assert len(rows) > 6
    for name, default in rows:
        if name != "--state-dir":  # told in words by --help, and another one on each system
            assert known[name].default == default


def test_the_files_that_the_architecture_names_exist():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", text)
    assert len(named) > 10
    for path in named:
        assert (ROOT / "quictunnel" / path).exists() or (ROOT / path).exists(), path
