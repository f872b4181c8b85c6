"""The options of the access log: what is checked before a role starts, and what is not created."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from state_directory import write

from quictunnel.cli import logging_setup
from quictunnel.cli.main import invoke

ROLES = pytest.mark.parametrize(
    "command", [("remote",), ("origin", "8000", "--remote", "localhost")], ids=["remote", "origin"]
)


@ROLES
def test_a_missing_directory_is_an_error(fail, command):
    assert "--access-log: the directory 'missing' does not exist" in fail(
        *command, "--access-log", "missing/log"
    )


@ROLES
def test_a_directory_is_an_error(fail, command):
    Path("logs").mkdir()
    assert "--access-log: 'logs' is a directory, not a file" in fail(
        *command, "--access-log", "logs"
    )


@ROLES
def test_a_format_without_a_log_is_an_error(fail, command):
    error = fail(*command, "--access-log-format", "json")
    assert "--access-log-format needs --access-log" in error


def test_a_file_names_the_key(fail):
    file = write("r.toml", 'access-log-format = "combined"\n')
    assert fail("check", file).startswith(
        "quictunnel: r.toml: access-log-format needs 'access-log'"
    )


def test_an_unknown_format_is_an_error(fail):
    assert "'xml' is not one of 'text', 'json', 'combined'" in fail(
        "remote", "--access-log-format", "xml"
    )


def test_a_path_in_a_file_starts_at_its_folder(run, fail):
    Path("folder").mkdir()
    Path("folder", "logs").mkdir()
    file = write("folder/r.toml", 'access-log = "logs/log"\n')
    assert run("check", file) == ["folder/r.toml: ok"]
    assert not Path("folder/logs/log").exists(), "a check creates nothing"
    file = write("folder/r.toml", 'access-log = "other/log"\n')
    assert "folder/r.toml: access-log: the directory 'folder/other' does not exist" in fail(
        "check", file
    )


def test_a_hyphen_is_standard_output_and_no_path(run):
    file = write("r.toml", 'access-log = "-"\naccess-log-format = "json"\n')
    shown = "\n".join(run("config", "show", file))
    assert 'access-log = "-" ' in shown
    assert 'access-log-format = "json" ' in shown
    assert not Path("-").exists()


def test_a_file_that_cannot_be_opened_is_an_error(capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert invoke(["remote", "--access-log", "pipe", "--listen", "127.0.0.1:0"]) == 2
    logging_setup.flush()
    error = capsys.readouterr().err
    assert "the access log 'pipe' cannot be used: it is a pipe that no program reads" in error
    assert "Traceback" not in error
