"""Logs: one line a fact, nothing of a peer's unescaped."""

from __future__ import annotations

import io
import json
import logging
import re
import time

import pytest

from quictunnel.errors import SettingsError
from quictunnel.observe.logging_setup import MAX_VALUE, escape, fact, setup

log = logging.getLogger("quictunnel.remote")


@pytest.fixture
def lines():
    """Set logs up towards a buffer, and put everything back at the end."""
    root, ours = logging.getLogger(), logging.getLogger("quictunnel")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    stream = io.StringIO()

    def start(log_format="text", level="info"):
        setup(log_format, level, stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.raiseExceptions = before[3]


def test_a_fact_is_a_line(lines):
    read = lines()
    fact(
        log,
        logging.INFO,
        "client in",
        client="192.0.2.7:5555",
        id="ab12",
        seconds=0.25,
        hold=900.0,
        of=None,
    )
    (line,) = read()
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == "INFO  remote  client in  client=192.0.2.7:5555 id=ab12 seconds=0.25 hold=900"


def test_a_fact_is_an_object(lines):
    read = lines("json")
    fact(log, logging.WARNING, "client in", client="a", bytes=7, seconds=0.5, ok=True, never=1e999)
    entry = json.loads(read()[0])
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning", "logger": "quictunnel.remote", "message": "client in",
        "client": "a", "bytes": 7, "seconds": 0.5, "ok": True, "never": "inf",
    }  # fmt: skip


HOSTILE = "a\x1b[2J\r\n2026-01-01T00:00:00Z INFO  forged\x9b31m\u202e\ud800\x00"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_peer_sent_stays_in_its_line_and_off_the_terminal(lines, log_format):
    read = lines(log_format)
    fact(log, logging.INFO, f"peer said {HOSTILE}", agent=HOSTILE)
    (line,) = read()
    assert line.isprintable()


def test_json_gives_a_peers_text_back_unchanged(lines):
    read = lines("json")
    fact(log, logging.INFO, "hello", agent=HOSTILE)
    assert json.loads(read()[0])["agent"] == HOSTILE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", 'k=""'),
        ("two words", 'k="two words"'),
        ('say "hi"', r'k="say \"hi\""'),
        ("a=b", 'k="a=b"'),
    ],
)
def test_values_that_would_be_misread_stand_in_quotes(lines, value, text):
    read = lines()
    fact(log, logging.INFO, "fact", k=value)
    assert read()[0].endswith(f"  {text}")


def test_an_escape_cannot_be_feigned():
    assert escape("\x1b") == r"\x1b"
    assert escape(r"\x1b") == r"\\x1b"
    assert escape("grüße") == "grüße"


def test_long_values_are_cut(lines):
    read = lines()
    fact(log, logging.INFO, "m" * 5000, agent="a" * 5000)
    assert len(read()[0]) < 2 * MAX_VALUE + 100


def test_levels(lines):
    read = lines(level="info")
    fact(log, logging.DEBUG, "ours, debug")
    logging.getLogger("asyncio").info("theirs, info")
    logging.getLogger("asyncio").warning("theirs, %s\x1b", "warning")
    logging.getLogger("quic").warning("of a stranger's datagram")
    (line,) = read()
    assert line.endswith(r"WARN  asyncio  theirs, warning\x1b")


def test_at_debug_only_we_say_more(lines):
    read = lines(level="debug")
    fact(log, logging.DEBUG, "ours")
    logging.getLogger("quic").debug("theirs")
    assert len(read()) == 1


def test_at_error_nobody_warns(lines):
    read = lines(level="error")
    fact(log, logging.WARNING, "ours")
    logging.getLogger("quic").warning("theirs")
    assert not read()


def test_nothing_is_formatted_when_nobody_listens(lines):
    class Costly:
        def __str__(self):
            raise AssertionError

    lines(level="info")
    fact(log, logging.DEBUG, "fact", value=Costly())


def test_a_handler_beside_ours_hears_the_same(lines):
    class Ear(logging.Handler):
        def emit(self, record):
            heard.append(logging.Formatter("%(levelname)s %(filename)s %(message)s").format(record))
            heard.append(record.quictunnel_facts)

    heard = []
    read = lines()
    logging.getLogger().addHandler(Ear())
    fact(log, logging.INFO, "client in 100%", id="ab12")
    assert heard == ["INFO  client in 100%", {"id": "ab12"}]
    assert read()[0].endswith("INFO  remote  client in 100%  id=ab12")


def test_time_is_told_to_the_millisecond(lines, monkeypatch):
    read = lines()
    for moment in (0.0, 0.0009, 0.001, 1.9996, 1782000000.5):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        fact(log, logging.INFO, "tick")
    assert [line.split(" ")[0] for line in read()] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.001Z",
        "1970-01-01T00:00:01.999Z",
        "2026-06-21T00:00:00.500Z",
    ]


def trip():
    try:
        raise RuntimeError("line\x1b one")
    except RuntimeError as exc:
        fact(log, logging.ERROR, "a bug", exc_info=exc)


def test_the_trace_of_a_bug_is_set_in_and_escaped(lines):
    read = lines()
    trip()
    first, *trace = read()
    assert first.endswith("ERROR remote  a bug")
    assert trace[-1] == r"    RuntimeError: line\x1b one"
    assert all(line.startswith("    ") for line in trace)


def test_the_trace_of_a_bug_in_json_is_one_line(lines):
    read = lines("json")
    trip()
    (line,) = read()
    assert json.loads(line)["trace"][-1] == "RuntimeError: line\x1b one"


def test_unknown_formats_and_levels():
    with pytest.raises(SettingsError, match="text or json"):
        setup("xml")
    with pytest.raises(SettingsError, match="log level"):
        setup("text", "loud")
