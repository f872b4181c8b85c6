"""Options that select measurements and ways, and the table of the results."""

from __future__ import annotations

import io

import pytest
import typer
from rich.console import Console

import bench.__main__ as program
from bench.__main__ import FULL, begins, present, within_limits
from bench.measures import MEASURES, Effort
from bench.table import Outcome, for_a_page, table
from bench.ways import WAYS


def test_names_are_selected_by_prefix():
    names = ["down-1", "down-8", "up-1", "short"]
    assert begins(None, names) == names
    assert begins(["short,down"], names) == ["down-1", "down-8", "short"]
    assert begins(["up", "short"], names) == ["up-1", "short"]
    with pytest.raises(typer.BadParameter, match="nothing begins with 'sideways'"):
        begins(["down,sideways"], names)


def test_a_missing_way_is_left_out(monkeypatch, capsys):
    names = [name for name in WAYS if name.startswith("quictunnel/quinn")]
    monkeypatch.setattr(program, "missing", lambda: dict.fromkeys(names, "not built"))
    aioquic = [name for name in WAYS if name.startswith("quictunnel/aioquic")]
    assert present(["direct,quictunnel"]) == ["direct", *aioquic]
    assert "left out: quictunnel/quinn (not built)" in capsys.readouterr().out
    with pytest.raises(typer.BadParameter, match="none of these ways is available"):
        present(["quictunnel/quinn"])


def test_idle_clients_are_limited_by_descriptors(monkeypatch):
    monkeypatch.setattr(program, "raise_descriptors", lambda: 4200)
    assert within_limits(FULL).idle == (10, 1_000, 4_000)
    assert within_limits(Effort(1, 1, (10, 20_000))).idle == (10, 4_000)


def test_the_table_has_a_column_for_each_way_and_a_row_for_each_figure():
    measure = MEASURES[0]
    outcomes = [
        Outcome(measure.name, "direct", [{"Mbit/s": 900.0}, {"Mbit/s": 1100.0}]),
        Outcome(measure.name, "rusnel", [{"Mbit/s": 500.0, "CPU s/GB, both ends": 4.25}]),
        Outcome(measure.name, "bore", failures=["OSError: it broke"]),
    ]
    text = io.StringIO()
    ways = ["direct", "rusnel", "bore"]
    Console(file=text, width=200).print(table([measure], ways, outcomes))
    lines = [[cell.strip() for cell in line.split("│")] for line in text.getvalue().splitlines()]
    assert ["", measure.title, "", "", "failed", ""] in lines
    assert ["", "Mbit/s", "1,000", "500", "", ""] in lines
    assert ["", "CPU s/GB, both ends", "", "4.25", "", ""] in lines


def test_the_table_can_be_printed_as_markdown():
    measures = MEASURES[:2]
    outcomes = [Outcome(measure.name, "direct", [{"Mbit/s": 900.0}]) for measure in measures]
    text = io.StringIO()
    Console(file=text, width=200).print(for_a_page(table(measures, ["direct"], outcomes)))
    lines = [line.replace(" ", "") for line in text.getvalue().splitlines() if line.strip()]
    assert lines[0] == "||direct|"
    assert set(lines[1]) == set("|-")
    assert lines[3] == "|Mbit/s|900|"
    assert len(lines) == 2 + 2 * len(measures)
