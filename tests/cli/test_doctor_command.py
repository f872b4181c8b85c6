"""`quictunnel doctor` in this process: its lines, its JSON, and its use of the role's options."""

from __future__ import annotations

import io
import json
import sys
import typing

import pytest
import typer.main
from state_directory import SECRET

from quictunnel.cli import doctor_run
from quictunnel.cli.main import app, invoke
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok, skipped, warning

PROGRAM = typer.main.get_command(app)


class KnownCheck(Check):
    """A check whose findings are known."""

    title = "known"
    time_limit = 10.0

    def __init__(self, *findings: Finding) -> None:
        self._findings = [*findings]

    async def run(self) -> list[Finding]:
        return self._findings


@pytest.fixture
def machine(monkeypatch):
    """Replaces the checks of the machine; the test sets what they find."""
    findings: list[Finding] = []
    monkeypatch.setattr(doctor_run, "machine_checks", lambda *_: [KnownCheck(*findings)])
    return findings


def test_lines(machine, capsys):
    machine += [
        ok("one", "good"),
        skipped("two", "not checked"),
        warning("three", "poor", "improve it"),
        failed("four", "bad \x1b[31m", "repair it"),
    ]
    assert invoke(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "✓ one: good",
        "- two: not checked",
        "! three: poor",
        "  → improve it",
        r"✗ four: bad \x1b[31m",
        "  → repair it",
        "1 problem, 1 warning",
    ]


def test_a_terminal_without_unicode(machine, monkeypatch):
    machine += [ok("one", "good"), failed("two", "bad", "repair it")]
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    assert invoke(["doctor"]) == 1
    lines = output.buffer.getvalue().decode("ascii").splitlines()
    assert lines[2:5] == ["ok one: good", "X two: bad", "  > repair it"]


def test_a_warning_is_exit_code_0(machine, capsys):
    machine.append(warning("one", "poor", "improve it"))
    assert invoke(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("0 problems, 1 warning\n")


def test_all_is_well(machine, run):
    machine.append(ok("one", "good"))
    assert run("doctor")[-1] == "no problem found"


@pytest.mark.parametrize("words", [["doctor", "--json", "origin"], ["doctor", "origin", "--json"]])
def test_json_before_and_behind_the_end(machine, capsys, words):
    machine.append(failed("one", "bad", "repair it"))
    assert invoke(words) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["role"], report["ok"]) == ("origin", False)
    expected = {"level": "failed", "title": "one", "sentence": "bad", "advice": "repair it"}
    assert report["findings"][-1] == expected


@pytest.mark.parametrize("role", ["origin", "remote"])
def test_it_has_all_options_of_the_role(role):
    doctor = PROGRAM.commands["doctor"].commands[role]
    options, own = (
        {name for param in command.params for name in param.opts}
        for command in (doctor, PROGRAM.commands[role])
    )
    assert options == own | {"--json"}
    assert not any(param.required for param in doctor.params)


def test_options_that_are_not_valid_are_a_finding(machine, capsys):
    assert invoke(["doctor", "remote", "--hold", "1ms"]) == 1
    out, err = capsys.readouterr()
    assert "✗ settings: --hold" in out
    assert not err


def test_the_token_is_never_printed(machine, capsys):
    token = f"box.{SECRET}"
    for words in (["--token", token], ["--token", token, "--pin", "no pin"]):
        invoke(["doctor", "origin", *words])
        out, err = capsys.readouterr()
        assert SECRET not in out + err


def test_a_configuration_file_must_stand_behind_the_end(fail):
    assert "write --config behind remote" in fail("doctor", "--config", "x.toml", "remote")


def test_a_file_that_cannot_be_read_is_a_finding(machine, capsys):
    assert invoke(["doctor", "--config", "missing.toml"]) == 1
    assert "missing.toml" in capsys.readouterr().out


def test_an_interrupt_ends_it(machine, monkeypatch, capsys):
    def interrupted(coroutine: typing.Any) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor_run.asyncio, "run", interrupted)
    assert invoke(["doctor"]) == 1
    assert "Traceback" not in capsys.readouterr().err
