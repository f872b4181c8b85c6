"""The pages name only options, files and defaults that exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import typer

from bench.__main__ import main as bench
from bench.attacks.__main__ import main as attacks
from bench.line.__main__ import main as line
from bench.rates import main as rates
from bench.soak.__main__ import main as soak
from docs import generate, units
from quictunnel.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BELOW = [ROOT / folder / "README.md" for folder in ("certs", "engine")]
WRITTEN = [path for path in DOCS.rglob("*.md") if str(path.relative_to(DOCS)) not in generate.PAGES]
PAGES = [*ROOT.glob("*.md"), *WRITTEN, *BELOW]

OTHERS = {
    "--data",
    "--date-format",
    "--editable",
    "--fail",
    "--group",
    "--header",
    "--network",
    "--no-buffer",
    "--no-default-features",
    "--now",
    "--python",
    "--repo",
    "--stop-timeout",
    "--time-format",
    "--tmpfs",
    "--unix-socket",
    "--upgrade",
}
"""Options of pip, cargo, curl, docker, gh, goaccess, uv, systemctl and sysctl."""

COMMANDS = {"docker", "git", "loginctl", "make", "man", "quictunnel", "systemctl"}

LAYERS = (ROOT / "quictunnel", ROOT)
"""Folders that the paths in the architecture page start from."""

UNITS = sorted(ROOT.glob("contrib/systemd/*"))

SYSTEMD = (DOCS / "how-to" / "systemd.md").read_text("utf-8")


def every_option(command) -> list:
    children = getattr(command, "commands", {}).values()
    own = [option for option in command.params if option.param_type_name == "option"]
    return own + [option for child in children for option in every_option(child)]


def options(command) -> dict:
    return {
        name: option
        for option in every_option(command)
        for name in (*option.opts, *option.secondary_opts)
    }


PROGRAM = typer.main.get_command(app)


def options_of(main) -> dict:
    program = typer.Typer()
    program.command()(main)
    return options(typer.main.get_command(program))


BESIDE = options_of(bench) | options_of(soak) | options_of(line) | options_of(rates)
BESIDE |= options_of(attacks)
"""Options of the programs that belong to the project but are not installed."""


def page(path: Path):
    return pytest.param(path.read_text("utf-8"), path.parent, id=str(path.relative_to(ROOT)))


EACH_PAGE = [page(path) for path in PAGES]


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_links_lead_somewhere(text, folder):
    generated = {DOCS / name for name in generate.PAGES}
    for target in re.findall(r"\]\(([^)#]+)", text):
        path = (folder / target).resolve()
        assert target.startswith("https://") or path.exists() or path in generated, target


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_options_exist(text, folder):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named - OTHERS <= options(PROGRAM).keys() | BESIDE.keys() | {"--help", "--strict"}


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_environment_variables_exist(text, folder):
    known = {option.envvar for option in every_option(PROGRAM)}
    assert set(re.findall(r"QUICTUNNEL_[A-Z_]+", text)) <= known


@pytest.mark.parametrize(("text", "folder"), EACH_PAGE)
def test_files_exist(text, folder):
    """A path in backticks with a folder in front is one of the repository's."""
    for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|rs|toml|md|json))`", text):
        assert any((start / path).exists() for start in (*LAYERS, ROOT / "engine")), path


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_log_messages_exist(path):
    """Words in backticks that are neither a command nor a label of TLS are a log message."""
    messages = re.findall(r"^## (.*)", generate.log_page(), re.MULTILINE)
    quoted = re.findall(r"`([a-z]+(?: [a-z,]+)+)`", path.read_text("utf-8"))
    for words in quoted:
        assert words in messages or words.split()[0] in COMMANDS or words == "exp master"


def test_the_architecture_names_files():
    text = (DOCS / "explanation" / "architecture.md").read_text("utf-8")
    assert len(re.findall(r"`[a-z_]+/[a-z_/]+\.py`", text)) > 10


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_page_about_systemd_shows_the_units(path):
    assert f"```ini\n{path.read_text('utf-8')}```" in SYSTEMD


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_units_are_those_of_the_program(path):
    """`python docs/units.py` writes them again."""
    assert path.read_text("utf-8") == units.units(units.PROGRAM)[path.name]


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "zensical.toml").read_text("utf-8")
    listed = re.findall(r'"([a-z/-]+\.md)"', navigation)
    assert sorted(listed) == sorted(
        [*generate.PAGES, *(str(path.relative_to(DOCS)) for path in WRITTEN)]
    )


@pytest.mark.parametrize("name", generate.PAGES)
def test_each_generated_page_can_be_made_and_has_links_that_lead_somewhere(name):
    text = generate.PAGES[name]()
    assert text.startswith("# ")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)
    }
    for target, anchor in re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text):
        if target:
            path = ((DOCS / name).parent / target).resolve()
            assert path.exists() or str(path.relative_to(DOCS)) in generate.PAGES, target
        else:
            assert anchor in headings, anchor


def test_the_command_line_page_has_every_option():
    page = generate.cli_page()
    for name in options(PROGRAM).keys() - {"--help", "-h"}:
        assert f"`{name}" in page


def test_the_log_page_has_every_field_of_every_event():
    page = generate.log_page()
    for kind in generate.event_types():
        section = page.partition(f"Event: `{kind.__name__}`")[2].partition("\n## ")[0]
        for field in dataclasses.fields(kind):
            assert field.name == "exception" or f"| `{field.name}` | " in section


def test_the_engine_page_has_no_link_that_the_site_lacks():
    assert not re.search(r"\]\((?!https:|#)", generate.engine_page())
