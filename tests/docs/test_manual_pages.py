"""The manual pages have every command and option, and no mistake in their format."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import typer.main
from typer.core import TyperOption

from docs import man
from quictunnel.cli.main import app

PAGES = man.pages()


def test_every_command_has_a_page():
    program = typer.main.get_command(app)
    for name, command in program.commands.items():
        assert f"quictunnel-{name}.1" in PAGES
        for child in getattr(command, "commands", {}):
            assert f"quictunnel-{name}-{child}.1" in PAGES
            assert f".BR quictunnel\\-{name}\\-{child} (1)" in PAGES[f"quictunnel-{name}.1"]
    assert ".BR quictunnel\\-origin (1)" in PAGES["quictunnel.1"]


@pytest.mark.parametrize("name", ["remote", "origin"])
def test_a_page_has_every_option(name):
    command = typer.main.get_command(app).commands[name]
    page = PAGES[f"quictunnel-{name}.1"]
    for option in command.params:
        if isinstance(option, TyperOption):
            escaped = option.opts[0].replace("-", "\\-")
            assert f"\\fB{escaped}\\fR" in page
            assert option.envvar in page


def test_man_finds_no_mistake(tmp_path):
    if shutil.which("man") is None:
        pytest.skip("this needs the program man")
    man.main(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        done = subprocess.run(
            ["man", "--warnings", "--local-file", path], capture_output=True, text=True, check=True
        )
        assert not done.stderr
        assert "EXIT STATUS" in done.stdout


def test_special_characters_are_text(monkeypatch):
    assert man._escape(".a -b\\n") == "\\&.a \\-b\\en"
