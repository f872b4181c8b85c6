"""The bench's clients, its origin server and the naive tunnel work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import load
from bench.ways import RunningWay, prepare, running_way
from testkit.programs import PYTHON, ProgramError, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["direct", "naive"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningWay]:
    prepare(tmp_path)
    with running_way(request.param, tmp_path) as it:
        yield it


def test_every_kind_of_client_is_served(way: RunningWay) -> None:
    load.bulk(way.address, 300_000, 3, up=False)
    load.bulk(way.address, 300_000, 3, up=True)
    assert len(load.requests(way.address, 5, seconds=60)) == 5
    count, _ = load.short(way.address, seconds=0, at_once=4)
    assert count == 4


def test_idle_clients_stay_until_closed(way: RunningWay) -> None:
    clients = load.IdleClients(way.address)
    assert clients.grow(5)
    assert clients.grow(9)
    assert len(clients.sockets) == 9
    clients.close()


def test_programs_report_cpu_time_and_memory(way: RunningWay) -> None:
    for program in (way.server, *way.tunnel):
        assert program.cpu() > 0
        assert program.memory() > 1_000_000


def test_a_program_that_ends_at_once_is_an_error_with_its_output(tmp_path: Path) -> None:
    command = [PYTHON, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(ProgramError, match="no such thing"), running("it", command, tmp_path):
        pass
