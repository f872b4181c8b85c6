"""Updates the tables in docs/ that come from bench/results/*.json: `make figures`.

A page marks the place of a table with two comments:

    <!-- figures: bench/results/line.json home,loss-1,requests -->
    <!-- end of figures -->

The words after the file name the rows: lines of `bench.line`, measures of `bench` or of
`bench.services`, or engines of `bench.attacks`.
tests/docs/test_figures.py fails if a table is out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import services
from bench.attacks.bounds import AttackFigures
from bench.measures import BOTH, MEASURES
from bench.table import short

DOCS = Path(__file__).parent
ROOT = DOCS.parent

BLOCK = re.compile(
    r"(<!-- figures: (\S+) (\S+) -->\n).*?(<!-- end of figures -->)", flags=re.DOTALL
)

LINES = {
    "home": "50 Mbit/s, 50 ms",
    "loss-0.1": "50 Mbit/s, 50 ms, 0.1 % loss",
    "loss-1": "50 Mbit/s, 50 ms, 1 % loss",
    "loss-3": "50 Mbit/s, 50 ms, 3 % loss",
    "bursts-3": "50 Mbit/s, 50 ms, 3 % loss in bursts of three",
    "mobile": "10 Mbit/s, 200 ms, 1 % loss, 20 ms of jitter",
    "mobile-overtaking": "the same, and jitter reorders packets",
    "fast": "200 Mbit/s, 20 ms, 0.1 % loss",
    "long-fat": "500 Mbit/s, 100 ms, a queue of 2 MB",
}
"""Titles of the lines in bench/line/lines.py."""

TITLES = {measure.name: measure.title for measure in MEASURES} | services.TITLES
FIGURES = {
    "Mbit/s": "Mbit/s",
    "connections/s": "per second",
    "p50, ms": "p50 in ms",
    "p99, ms": "p99 in ms",
    f"CPU s/GB, {BOTH}": "CPU seconds per GB",
    f"CPU ms each, {BOTH}": "CPU ms each",
} | services.FIGURES
"""The figures of `bench` that are shown, in this order, and their titles."""

ATTACK_COLUMNS = (
    "attack",
    "packets per second",
    "echo, p99 in ms: idle, attacked",
    "new client, p99 in ms: idle, attacked",
    "slowest origin, s: from its start, from its first packet",
    "memory, MB more",
    "CPU, %",
    "log lines per minute",
)

ATTACK_TITLES = {
    "handshakes": "handshakes from one address",
    "half-open": "half-open handshakes from one address",
    "half-open-spoofed": "half-open handshakes from forged addresses",
    "silent": "silent handshakes from one address",
    "silent-many": "silent handshakes from 256 addresses",
    "empty-frames": "empty STREAM frames",
    "overlapping-bytes": "overlapping bytes with gaps",
    "stop-sending": "STOP_SENDING frames",
    "pings": "PING frames",
    "small-packets": "packets of one PING frame",
    "ack-ranges": "ACK ranges",
    "crypto-gaps": "CRYPTO frames with gaps",
    "icmp-strangers": "forged ICMP about other addresses",
    "icmp-guessed": "forged ICMP about every port of the origin",
    "replayed-retry": "replayed Retry tokens of one address",
    "replayed-retry-many": "replayed Retry tokens of 256 addresses",
    "giant-hellos": "hellos of 64 KiB",
    "giant-client-hellos": "TLS ClientHellos of 60 kB",
    "failed-proofs": "hostile names with wrong proofs, from one address",
    "failed-proofs-many": "hostile names with wrong proofs, from 256 addresses",
    "violations": "violations of the protocol, from 256 addresses",
}
"""Titles of the attacks in testkit/attacker/attacks.py."""

CHANGES = {"faster": "50 to 100 Mbit/s", "slower": "50 to 10 Mbit/s"}
REQUESTS = "request beside a download, 1 % loss: p50, p99"


def updated(page: str) -> str:
    """Return a page with its tables made anew."""

    def replace(match: re.Match[str]) -> str:
        results = json.loads((ROOT / match[2]).read_text("utf-8"))
        names = match[3].split(",")
        return f"{match[1]}{_table_of(results)(results, names)}\n{match[4]}"

    return BLOCK.sub(replace, page)


def _table_of(results: dict[str, Any]) -> Callable[[dict[str, Any], Sequence[str]], str]:
    """Return the function that makes a table of these results."""
    if "attacks" in results:
        return attacks_table
    return bench_table if "outcomes" in results else table


def attacks_table(results: dict[str, Any], names: Sequence[str]) -> str:
    """Return the figures of all attacks on remotes with these engines as a Markdown table.

    A figure in bold breaks its bound.

    :raises ValueError: the results have no such engine.
    """
    lines = ["| " + " | ".join(ATTACK_COLUMNS) + " |", "|---" * len(ATTACK_COLUMNS) + "|"]
    for name in names:
        rows = [AttackFigures.of(row) for row in results["attacks"] if row["engine"] == name]
        if not rows:
            raise ValueError(f"the results have no engine {name!r}")
        for row in rows:
            cells = [
                f"{row.packets_per_second:,.0f}",
                _change(row.echo_idle, row.echo, broken="echo" in row.broken()),
                _change(row.new_idle, row.new, broken="new clients" in row.broken()),
                _bold(f"{row.admitted:.1f}", broken="admission" in row.broken())
                + f", {row.dialled:.1f}",
                _bold(f"{row.memory:.0f}", broken="memory" in row.broken()),
                _bold(f"{row.cpu:.0f}", broken="CPU" in row.broken()),
                _bold(f"{row.log_lines:.0f}", broken="log" in row.broken()),
            ]
            lines.append(f"| {ATTACK_TITLES[row.attack]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _change(before: float, during: float, *, broken: bool) -> str:
    return f"{before:.0f}, " + _bold(f"{during:.0f}", broken=broken)


def _bold(figure: str, *, broken: bool) -> str:
    return f"**{figure}**" if broken else figure


def bench_table(results: dict[str, Any], names: Sequence[str]) -> str:
    """Return the figures of these measures as a Markdown table.

    :raises ValueError: the results have no such measure.
    """
    medians: dict[str, dict[str, dict[str, float]]] = {}
    for outcome in results["outcomes"]:
        medians.setdefault(outcome["measure"], {})[outcome["way"]] = outcome["medians"]
    shown = [outcome for outcome in results["outcomes"] if outcome["measure"] in names]
    ways = list(dict.fromkeys(outcome["way"] for outcome in shown))
    lines = ["| | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for name in names:
        if name not in medians:
            raise ValueError(f"the results have no measure {name!r}")
        for figure, title in FIGURES.items():
            values = [medians[name].get(way, {}).get(figure) for way in ways]
            if any(value is not None for value in values):
                cells = " | ".join(map(short, values))
                lines.append(f"| {TITLES[name]}: {title} | {cells} |")
    return "\n".join(lines)


def table(results: dict[str, Any], names: Sequence[str]) -> str:
    """Return the rows of these lines as a Markdown table.

    :raises ValueError: the results have no row of a name.
    """
    columns = results["columns"]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        rows = [row for row in results["rows"] if row["name"] == name]
        if not rows:
            raise ValueError(f"the results have no row {name!r}")
        for row in rows:
            cells = (_cell(row, row["cells"].get(column)) for column in columns)
            lines.append(f"| {_title(row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(row: dict[str, Any]) -> str:
    name, figure = row["name"], row["figure"]
    if name in LINES:
        return LINES[name]
    if name == "requests":
        return REQUESTS
    if name == "changes":
        change, _, told = figure.partition(", ")
        noticed = "with a new address" if told == "moved" else "unannounced"
        return f"5 s after a change from {CHANGES[change]}, {noticed}"
    if "beside cubic" in figure:
        return "beside a cubic download: share of both"
    return "two links: the second link's share of both"


def _cell(row: dict[str, Any], cell: dict[str, Any] | None) -> str:
    figures = cell["medians"] if cell else []
    if not figures:
        return ""
    if row["name"] in LINES:
        queue = "" if figures[1] is None else f", {_percent(figures[1])}"
        return _percent(figures[0], 1) + queue
    if row["name"] == "requests":
        if len(figures) == 2:
            return f"{figures[0]:.2f}, {figures[1]:.2f} RTT"
        return f"{figures[2]:.0f}, {figures[3]:.0f} ms"
    if row["name"] == "changes":
        return _percent(figures[0])
    return _percent(figures[1] / sum(figures))


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def main() -> None:
    """Update all pages."""
    for path in DOCS.rglob("*.md"):
        text = path.read_text("utf-8")
        if (new := updated(text)) != text:
            path.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
