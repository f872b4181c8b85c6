"""Redis: redis-benchmark, and a subscriber that is idle for two minutes before a message.

With each installed engine. The subscribers of all engines wait at the same time.
"""

from __future__ import annotations

import contextlib
import csv
import socket
import time
from typing import TYPE_CHECKING

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import listening
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDLE = 120.0
"""Seconds without any data on a subscriber's connection."""

WITHIN = 60.0
"""Seconds for an answer."""

REQUESTS = 10_000


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    port = free_port()
    server = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port)]
    server += ["--save", "", "--appendonly", "no", "--dir", str(scratch), "--tcp-keepalive", "0"]
    subscribers = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening("redis", server, scratch, port))
        for engine in engines():
            folder = scratch / engine
            folder.mkdir()
            there = stack.enter_context(tunnel(f"127.0.0.1:{port}", folder, engine))
            subscribers[engine] = stack.enter_context(
                _subscriber(facts, engine, there.outside_port)
            )
            since = time.monotonic()
            _benchmark(facts, engine, there.outside_port)
        time.sleep(max(0.0, since + IDLE - time.monotonic()))
        heard = output_of(
            [program("redis-cli"), "-p", str(port), "publish", "news", "a word"]
        ).strip()
        facts.equal("redis-cli publish: receivers", heard, str(len(subscribers)))
        for engine, connection in subscribers.items():
            word = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\na word\r\n"
            fact = f"{engine}: a subscriber after {IDLE:.0f} s of silence gets the message"
            facts.equal(fact, _read(connection, len(word)) == word, True)
            connection.sendall(b"UNSUBSCRIBE news\r\n")
            answer = _read(connection, len("*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n"))
            fact = f"{engine}: the subscriber can send as well"
            facts.equal(fact, answer.endswith(b"news\r\n:0\r\n"), True)


@contextlib.contextmanager
def _subscriber(facts: Facts, engine: str, outside: int) -> Iterator[socket.socket]:
    """Subscribe without redis-cli, which may not be idle for so long."""
    with socket.create_connection(("127.0.0.1", outside), WITHIN) as connection:
        connection.sendall(b"SUBSCRIBE news\r\n")
        answer = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        fact = f"{engine}: a subscriber is answered"
        facts.equal(fact, _read(connection, len(answer)) == answer, True)
        yield connection


def _read(connection: socket.socket, size: int) -> bytes:
    with connection.makefile("rb", buffering=0) as file:
        found = b""
        while len(found) < size and (more := file.read(size - len(found))):
            found += more
        return found


def _benchmark(facts: Facts, engine: str, outside: int) -> None:
    command = [program("redis-benchmark"), "-p", str(outside), "-n", str(REQUESTS), "-c", "50"]
    lines = output_of([*command, "-t", "ping_mbulk,set,get,lpush,lrange_100", "--csv"]).splitlines()
    rows = list(csv.DictReader(lines))
    told = ", ".join(f"{row['test'].split()[0]} {float(row['rps']):.0f}" for row in rows)
    fact = f"{engine}: redis-benchmark, 50 clients, requests a second"
    facts.holds(fact, told, when=len(rows) >= 4 and all(float(row["rps"]) > 0 for row in rows))


if __name__ == "__main__":
    run_script(script)
