"""The demo's download: its content, and how it is written."""

from __future__ import annotations

import hashlib

import pytest

from quictunnel.cli import demo_download
from quictunnel.cli.demo_download import BLOCK, RATE, SHA256, SIZE, Download, blocks
from testkit.clock import seconds, virtual_time


class Reader:
    """A transport that counts what it gets, and pauses the download when the test says so."""

    def __init__(self) -> None:
        self.written = 0
        self.is_closed = False
        self.limit: int | None = None
        self.download: Download | None = None

    def write(self, data: bytes) -> None:
        self.written += len(data)
        if self.limit is not None and self.written >= self.limit:
            self.download.pause()

    def close(self) -> None:
        self.is_closed = True


def start(reader: Reader) -> None:
    reader.download = Download(reader)


def test_the_content_has_the_size_and_the_hash_that_are_shown():
    content = hashlib.sha256()
    size = 0
    for block in blocks():
        content.update(block)
        size += len(block)
    assert (size, content.hexdigest()) == (SIZE, SHA256)


def test_no_block_is_like_another():
    iterator = blocks()
    assert len({next(iterator) for _ in range(100)}) == 100


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo_download, "SIZE", 10 * BLOCK + 1)


@pytest.mark.usefixtures("small")
@virtual_time
async def test_it_takes_its_time_and_then_closes():
    reader = Reader()
    start(reader)
    await seconds(9 * BLOCK / RATE)
    assert not reader.is_closed
    await seconds(3 * BLOCK / RATE)
    assert (reader.written, reader.is_closed) == (10 * BLOCK + 1, True)


@pytest.mark.usefixtures("small")
@virtual_time
async def test_it_waits_for_a_slow_reader():
    reader = Reader()
    reader.limit = 3 * BLOCK
    start(reader)
    await seconds(60)
    assert (reader.written, reader.is_closed) == (3 * BLOCK, False)
    reader.limit = None
    reader.download.resume()
    await seconds(60)
    assert (reader.written, reader.is_closed) == (10 * BLOCK + 1, True)


@pytest.mark.usefixtures("small")
@virtual_time
async def test_it_stops_when_the_reader_has_gone():
    reader = Reader()
    start(reader)
    reader.download.stop()
    written = reader.written
    await seconds(60)
    assert (reader.written, reader.is_closed) == (written, False)
