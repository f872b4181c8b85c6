"""The tables of figures in docs/ are those of bench/results."""

from __future__ import annotations

import json

import pytest

from bench import table
from bench.__main__ import QUICK
from bench.attacks import results as attack_results
from bench.attacks.bounds import AttackFigures
from bench.line import results
from bench.line.figures import Measured
from bench.line.measures import NAMES
from bench.line.results import Results
from bench.line.runs import ResultCell
from bench.table import Outcome
from docs import figures
from testkit.attacker.attacks import ATTACKS

PAGES = [path for path in figures.DOCS.rglob("*.md") if "<!-- figures:" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tables_are_up_to_date(path):
    page = path.read_text("utf-8")
    assert page.count("<!-- figures:") == len(figures.BLOCK.findall(page))
    assert figures.updated(page) == page, "run `make figures`"


def test_some_page_has_tables():
    assert PAGES


def test_every_line_has_a_title():
    assert set(NAMES) - set(figures.LINES) == {"requests", "changes", "sharing"}


def test_saved_results_become_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    found = Results(["quinn", "direct"], simulated=False, seconds=1.0, runs=3, stops=0.0)
    late = ResultCell([Measured([0.9, 0.1, 3], "late"), Measured([0.95, 0.03, 5])])
    found.add("home", "share, queue, dropped", [late, ResultCell(failed=2)])
    found.add(
        "requests", "p50, p99, in ms", [ResultCell([Measured([1, 2, 50, 100])]), ResultCell()]
    )
    saved = json.loads(found.save("trial").read_text())
    assert saved["rows"][0]["cells"]["quinn"] == {
        "medians": [0.925, 0.065, 4],
        "failed": 0,
        "late": 1,
    }
    assert figures.table(saved, ["home", "requests"]).splitlines()[2:] == [
        "| 50 Mbit/s, 50 ms | 92.5 %, 6 % |  |",
        "| request beside a download, 1 % loss: p50, p99 | 50, 100 ms |  |",
    ]


def test_saved_outcomes_become_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results")
    outcomes = [Outcome("short", "direct", [{"connections/s": 21_000.4}]), Outcome("short", "ssh")]
    saved = json.loads(table.save(outcomes, QUICK).read_text())
    assert figures.bench_table(saved, ["short"]).splitlines() == [
        "| | direct | ssh |",
        "|---|---|---|",
        "| connections of 1 kB: per second | 21,000 |  |",
    ]


def test_saved_attacks_become_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(attack_results, "RESULTS", tmp_path / "results")
    row = AttackFigures(
        attack="pings",
        engine="quinn",
        seconds=60.0,
        packets_per_second=1020.4,
        megabits=10.0,
        echo_idle=12.0,
        echo=42.5,
        new_idle=12.0,
        new=111.0,
        admitted_idle=0.6,
        admitted=3.2,
        dialled=0.1,
        memory=2.5,
        cpu_idle=3.0,
        cpu=12.2,
        log_lines=0.0,
        counts={"handshakes": 16},
    )
    saved = json.loads(attack_results.save("trial", [row]).read_text())
    assert saved["attacks"][0]["broken"] == ["echo", "admission"]
    assert figures.attacks_table(saved, ["quinn"]).splitlines()[2:] == [
        "| PING frames | 1,020 | 12, **42** | 12, 111 | **3.2**, 0.1 | 2 | 12 | 0 |"
    ]


def test_every_attack_has_a_title():
    assert list(figures.ATTACK_TITLES) == list(ATTACKS)


def test_a_missing_row_is_an_error():
    with pytest.raises(ValueError, match="no row 'home'"):
        figures.table({"columns": [], "rows": []}, ["home"])
    with pytest.raises(ValueError, match="no engine 'quinn'"):
        figures.attacks_table({"attacks": []}, ["quinn"])
    with pytest.raises(ValueError, match="no measure 'short'"):
        figures.bench_table({"outcomes": []}, ["short"])
