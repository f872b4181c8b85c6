"""PostgreSQL: psql and its Ctrl-C, pgbench, a COPY of 100 MB in each direction, a notification.

The COPY runs with the fastest installed engine, the rest with each.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from interop._commands import WITHIN, Stopwatch, output_of
from interop._facts import Facts, program, run_script
from interop._postgres import client_command, postgres, psql
from interop._tunnel import engines, tunnel
from interop._waiting import wait

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1_000_000
"""Rows of 101 bytes each, as COPY writes them."""

QUERY = f"SELECT lpad(n::text, 100, 'x') FROM generate_series(1, {ROWS}) AS n"


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    for name in ("psql", "pgbench"):
        program(name)
    with postgres(scratch) as port:
        psql(port, "CREATE TABLE words (word text)")
        for number, engine in enumerate(engines()):
            with tunnel(f"127.0.0.1:{port}", scratch, engine) as there:
                _questions(facts, engine, there.outside_port)
                _cancel(facts, engine, there.outside_port)
                _pgbench(facts, engine, there.outside_port)
                if number == 0:
                    _copy(facts, engine, there.outside_port, scratch)


def _questions(facts: Facts, engine: str, port: int) -> None:
    sum_of = psql(port, "SELECT sum(n) FROM generate_series(1, 1000) AS n")
    facts.equal(f"{engine}: psql: a query's answer", sum_of, "500500")
    heard = psql(port, "LISTEN news", "NOTIFY news, 'a word'", "SELECT 1")
    facts.equal(f"{engine}: psql: a notification comes", 'payload "a word"' in heard, True)


def _cancel(facts: Facts, engine: str, port: int) -> None:
    """Interrupt a query. psql sends the request over a second connection."""
    command = client_command("psql", port, "-X", "-c", "SELECT pg_sleep(600)")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait(lambda: psql(port, asleep) == "1", "the query to begin")
        client.send_signal(signal.SIGINT)
        _, words = client.communicate(timeout=WITHIN)
    right = "canceling statement due to user request" in words
    facts.equal(f"{engine}: psql: Ctrl-C ends a query of ten minutes", right, True)


def _pgbench(facts: Facts, engine: str, port: int) -> None:
    output_of(client_command("pgbench", port, "-i", "-q", "-s", "2"))
    done = output_of(client_command("pgbench", port, "-n", "-c", "8", "-j", "2", "-T", "4"))
    rate = re.search(r"tps = (\d+)", done)
    failed = re.search(r"failed transactions: (\d+)", done)
    name = f"{engine}: pgbench, 8 clients, {rate[1] if rate else 0} transactions a second: failed"
    facts.equal(name, failed and failed[1], "0")
    balances = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = "
    balances += "(SELECT sum(delta) FROM pgbench_history)"
    facts.equal(
        f"{engine}: pgbench: the accounts are the sum of their history", psql(port, balances), "t"
    )


def _copy(facts: Facts, engine: str, port: int, scratch: Path) -> None:
    first, second = scratch / "first", scratch / "second"
    with Stopwatch() as watch:
        psql(port, f"\\copy ({QUERY}) TO '{first}'")
    size = first.stat().st_size
    lines = "".join(f"{n}\n".rjust(101, "x") for n in range(1, ROWS + 1))
    expected = hashlib.sha256(lines.encode()).hexdigest()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    fact = f"{engine}: COPY down, {size // 10**6} MB at {watch.rate(size)}, SHA-256 right"
    facts.equal(fact, digest == expected, True)
    with Stopwatch() as watch:
        psql(port, f"\\copy words FROM '{first}'")
    psql(port, f"\\copy words TO '{second}'")
    fact = f"{engine}: COPY up, {size // 10**6} MB at {watch.rate(size)}, and down again the same"
    facts.equal(fact, second.read_bytes() == first.read_bytes(), True)
    os.unlink(first)
    os.unlink(second)


if __name__ == "__main__":
    run_script(script)
