"""The bench's clients, origin server and naive tunnel work, or their figures mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import load
from bench.processes import ProgramError, running
from bench.ways import PYTHON, Way, ports, prepare, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["direct", "naive"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    prepare(tmp_path)
    with standing(request.param, tmp_path) as it:
        yield it


def test_every_kind_of_client_is_served(way: Way) -> None:
    load.bulk(way.address, 300_000, 3, up=False)
    load.bulk(way.address, 300_000, 3, up=True)
    assert len(load.requests(way.address, 5, seconds=60)) == 5
    count, _ = load.short(way.address, seconds=0, at_once=4)
    assert count == 4


def test_idle_clients_stay_until_closed(way: Way) -> None:
    clients = load.IdleClients(way.address)
    assert clients.grow(5)
    assert clients.grow(9)
    assert len(clients.sockets) == 9
    clients.close()


def test_programs_have_used_time_and_memory(way: Way) -> None:
    for program in (way.server, *way.tunnel):
        assert program.cpu() > 0
        assert program.memory() > 1_000_000


def test_a_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [PYTHON, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(ProgramError, match="no such thing"), running("it", command, tmp_path):
        pass


def test_the_ready_line_of_a_remote_names_its_ports() -> None:
    line = "ready: origins connect to UDP port 9001, clients to TCP 127.0.0.1:9000"
    assert ports(line) == (9001, 9000)
