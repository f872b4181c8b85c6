"""PostgreSQL: psql and its Ctrl-C, pgbench, a COPY of 100 MB in each direction, a notification.

The COPY runs with the fastest installed engine, the rest with each.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from interop._commands import WITHIN, Stopwatch, as_user, output_of
from interop._facts import Facts, MissingError, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import listening, wait
from testkit.programs import ProgramError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN = "/usr/lib/postgresql"
"""The folder of the server's programs in Debian, which is not in PATH."""

ROWS = 1_000_000
"""Rows of 101 bytes each, as COPY writes them."""

QUERY = f"SELECT lpad(n::text, 100, 'x') FROM generate_series(1, {ROWS}) AS n"


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    for name in ("psql", "pgbench"):
        program(name)
    with _server(scratch) as port:
        _psql(port, "CREATE TABLE words (word text)")
        for number, engine in enumerate(engines()):
            with tunnel(f"127.0.0.1:{port}", scratch, engine) as there:
                _questions(facts, engine, there.outside_port)
                _cancel(facts, engine, there.outside_port)
                _pgbench(facts, engine, there.outside_port)
                if number == 0:
                    _copy(facts, engine, there.outside_port, scratch)


@contextlib.contextmanager
def _server(scratch: Path) -> Iterator[int]:
    """Run a server with its own database, as an unprivileged user; yield its port."""
    initdb, postgres = _servers_program("initdb"), _servers_program("postgres")
    folder = scratch / "postgres"
    folder.mkdir()
    scratch.chmod(0o755)
    rights = as_user("postgres", folder)
    data = folder / "data"
    output_of(
        [*rights, initdb, "-D", data, "-U", "interop", "--auth=trust", "--no-sync", "-E", "UTF8"]
    )
    port = free_port()
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    command = [*rights, postgres, "-D", str(data), "-p", str(port)]
    for setting in settings:
        command += ["-c", setting]
    with listening("postgres", command, scratch, port):
        wait(lambda: _answers(port), "PostgreSQL's first answer")
        yield port


def _servers_program(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path(DEBIAN).glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise MissingError(f"PostgreSQL's {name} is not installed")
    return str(versions[-1])


def _answers(port: int) -> bool:
    with contextlib.suppress(ProgramError):  # it is starting up
        return _psql(port, "SELECT 1") == "1"
    return False


def _command(name: str, port: int, *words: str) -> list[str]:
    return [program(name), "-h", "127.0.0.1", "-p", str(port), "-U", "interop", *words, "postgres"]


def _psql(port: int, *orders: str) -> str:
    words = [word for order in orders for word in ("-c", order)]
    settings = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    return output_of(_command("psql", port, *settings, *words)).strip()


def _questions(facts: Facts, engine: str, port: int) -> None:
    sum_of = _psql(port, "SELECT sum(n) FROM generate_series(1, 1000) AS n")
    facts.equal(f"{engine}: psql: a query's answer", sum_of, "500500")
    heard = _psql(port, "LISTEN news", "NOTIFY news, 'a word'", "SELECT 1")
    facts.equal(f"{engine}: psql: a notification comes", 'payload "a word"' in heard, True)


def _cancel(facts: Facts, engine: str, port: int) -> None:
    """Interrupt a query. psql sends the request over a second connection."""
    command = _command("psql", port, "-X", "-c", "SELECT pg_sleep(600)")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait(lambda: _psql(port, asleep) == "1", "the query to begin")
        client.send_signal(signal.SIGINT)
        _, words = client.communicate(timeout=WITHIN)
    right = "canceling statement due to user request" in words
    facts.equal(f"{engine}: psql: Ctrl-C ends a query of ten minutes", right, True)


def _pgbench(facts: Facts, engine: str, port: int) -> None:
    output_of(_command("pgbench", port, "-i", "-q", "-s", "2"))
    done = output_of(_command("pgbench", port, "-n", "-c", "8", "-j", "2", "-T", "4"))
    rate = re.search(r"tps = (\d+)", done)
    failed = re.search(r"failed transactions: (\d+)", done)
    name = f"{engine}: pgbench, 8 clients, {rate[1] if rate else 0} transactions a second: failed"
    facts.equal(name, failed and failed[1], "0")
    balances = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = "
    balances += "(SELECT sum(delta) FROM pgbench_history)"
    facts.equal(
        f"{engine}: pgbench: the accounts are the sum of their history", _psql(port, balances), "t"
    )


def _copy(facts: Facts, engine: str, port: int, scratch: Path) -> None:
    first, second = scratch / "first", scratch / "second"
    with Stopwatch() as watch:
        _psql(port, f"\\copy ({QUERY}) TO '{first}'")
    size = first.stat().st_size
    lines = "".join(f"{n}\n".rjust(101, "x") for n in range(1, ROWS + 1))
    expected = hashlib.sha256(lines.encode()).hexdigest()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    fact = f"{engine}: COPY down, {size // 10**6} MB at {watch.rate(size)}, SHA-256 right"
    facts.equal(fact, digest == expected, True)
    with Stopwatch() as watch:
        _psql(port, f"\\copy words FROM '{first}'")
    _psql(port, f"\\copy words TO '{second}'")
    fact = f"{engine}: COPY up, {size // 10**6} MB at {watch.rate(size)}, and down again the same"
    facts.equal(fact, second.read_bytes() == first.read_bytes(), True)
    os.unlink(first)
    os.unlink(second)


if __name__ == "__main__":
    run_script(script)
