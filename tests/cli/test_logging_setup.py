"""The process's logging: which loggers log from which level."""

from __future__ import annotations

import io
import logging

import pytest

from quictunnel.cli.logging_setup import setup

log = logging.getLogger("quictunnel.remote")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(stream: io.StringIO) -> list[str]:
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


def test_other_loggers_log_warnings_and_aioquic_errors():
    stream = io.StringIO()
    setup("text", "info", stream)
    log.debug("our debug")
    log.info("our info")
    logging.getLogger("asyncio").info("their info")
    logging.getLogger("asyncio").warning("their %s\x1b", "warning")
    logging.getLogger("quic").warning("a stray datagram")
    assert lines(stream) == ["INFO  remote  our info", r"WARN  asyncio  their warning\x1b"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", ["debug", "info", "warning"]), ("warning", ["warning"]), ("error", [])],
)
def test_the_level_is_that_of_our_loggers(level, expected):
    stream = io.StringIO()
    setup("text", level, stream)
    for name in ("debug", "info", "warning"):
        getattr(log, name)(name)
        logging.getLogger("quic").warning("theirs")
    assert [line.split()[-1] for line in lines(stream)] == expected


@pytest.mark.parametrize(("stream", "count"), [(io.StringIO(), 2), (Terminal(), 1)])
def test_a_terminal_shows_warnings_by_default(stream, count):
    setup("text", None, stream)
    log.info("info")
    log.warning("warning")
    assert len(lines(stream)) == count
