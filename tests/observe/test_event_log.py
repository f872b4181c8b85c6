"""Events in the log: one line each as text or JSON, with hostile values escaped."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import queue
import re
from dataclasses import fields, replace
from logging.handlers import QueueHandler

import pytest

from quictunnel import events
from quictunnel.escaping import MAX_VALUE, escape
from quictunnel.observe import event_log
from quictunnel.observe.event_log import EventLog
from quictunnel.observe.log_format import MAX_ITEMS, JsonFormatter, TextFormatter

HOSTILE = "a\x1b[2J\r\n2026-01-01T00:00:00Z INFO  forged\x9b31m\u202e\ud800\x00"


class Log:
    """A logger of its own, its event log, and the lines that a handler writes."""

    def __init__(self) -> None:
        self.logger = logging.Logger("quictunnel.remote", logging.INFO)
        self.emit = EventLog(self.logger)
        self._stream = io.StringIO()

    def attach(self, formatter: logging.Formatter) -> None:
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(formatter)
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().split("\n")[:-1]


@pytest.fixture
def text():
    log = Log()
    log.attach(TextFormatter())
    return log


@pytest.fixture
def as_json():
    log = Log()
    log.attach(JsonFormatter())
    return log


def closed(**changes) -> events.ClientClosed:
    event = events.ClientClosed(
        "192.0.2.7:5555",
        "web",
        "ab12",
        7,
        9000,
        duration=0.25,
        reason="ended in order",
        ending=events.ClientEnding.EOF,
    )
    return replace(event, **changes)


KINDS = {
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
}


def test_an_event_is_a_line_of_text(text):
    text.emit(closed(duration=900.0))
    (line,) = text.lines
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == (
        "INFO  remote  client closed  client=192.0.2.7:5555 service=web id=ab12 bytes_up=7 "
        'bytes_down=9000 duration=900 reason="ended in order" ending=eof'
    )


def test_an_event_is_a_json_object(as_json):
    as_json.emit(events.HelloTimedOut(peer="192.0.2.7:1"))
    as_json.emit(closed(duration=float("inf")))
    first, second = map(json.loads, as_json.lines)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning", "logger": "quictunnel.remote", "message": "hello timed out",
        "peer": "192.0.2.7:1", "suppressed": 0,
    }  # fmt: skip
    assert (second["bytes_up"], second["duration"]) == (7, "inf")


def test_none_is_left_out(text, as_json):
    for log in (text, as_json):
        log.emit(closed(client=None, id=None))
    assert "client=" not in text.lines[0]
    assert " id=" not in text.lines[0]
    assert not {"client", "id"} & json.loads(as_json.lines[0]).keys()


def test_booleans_are_written_as_in_json(text, as_json):
    event = events.LinkAttemptFailed("vps:9001", "no answer", beside_silent_link=True)
    for log in (text, as_json):
        log.emit(event)
    assert " beside_silent_link=true " in text.lines[0]
    assert json.loads(as_json.lines[0])["beside_silent_link"] is True


def test_tuples_are_joined_in_text_and_arrays_in_json(text, as_json):
    origin = events.OriginConnected("box", "t1", "192.0.2.7:1", ("web", "ssh"), "agent/1", "l1")
    granted = (events.GrantedService("web", "[::]:9000"),)
    services = events.ServicesGranted("192.0.2.1:9001", granted, is_first=True)
    for log in (text, as_json):
        log.emit(origin)
        log.emit(services)
    assert "services=web,ssh " in text.lines[0]
    assert 'services="web=[::]:9000" ' in text.lines[1]
    first, second = map(json.loads, as_json.lines)
    assert first["services"] == ["web", "ssh"]
    assert second["services"] == [{"name": "web", "address": "[::]:9000"}]


def test_a_long_list_is_cut(text, as_json):
    names = tuple(str(number) for number in range(1000))
    for log in (text, as_json):
        log.emit(events.ServicesChanged("box", "t1", "192.0.2.7:1", names))
    shown = [*names[:MAX_ITEMS], "… 900 more"]
    assert text.lines[0].endswith(f'services="{",".join(shown)}"')
    assert json.loads(as_json.lines[0])["services"] == shown


@pytest.mark.parametrize("log", ["text", "as_json"])
def test_a_peers_text_stays_in_its_line_and_off_the_terminal(log, request):
    log = request.getfixturevalue(log)
    log.emit(closed(client=HOSTILE, reason=HOSTILE))
    log.logger.info("peer sent %s", HOSTILE)
    assert len(log.lines) == 2
    assert all(line.isprintable() for line in log.lines)


def test_json_has_a_peers_text_escaped_as_a_line_of_text_has_it(as_json):
    """Programs print what they read in JSON."""
    as_json.emit(closed(client=HOSTILE))
    as_json.emit(events.ServicesChanged("box", "t1", "192.0.2.7:1", (HOSTILE,)))
    first, second = map(json.loads, as_json.lines)
    assert first["client"] == second["services"][0] == escape(HOSTILE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", 'reason=""'),
        ("two words", 'reason="two words"'),
        ('say "hi"', r'reason="say \"hi\""'),
        ("a=b", 'reason="a=b"'),
        ("a\nb", r"reason=a\nb"),
    ],
)
def test_ambiguous_values_are_quoted(text, value, expected):
    text.emit(closed(reason=value))
    assert text.lines[0].endswith(f" {expected} ending=eof")


def test_an_escape_cannot_be_imitated():
    assert escape("\x1b") == r"\x1b"
    assert escape(r"\x1b") == r"\\x1b"
    assert escape("grüße") == "grüße"


@pytest.mark.parametrize("log", ["text", "as_json"])
def test_long_values_are_cut(log, request):
    log = request.getfixturevalue(log)
    log.emit(closed(client="a" * 5000))
    log.logger.info("m" * 5000)
    assert all(len(line) < MAX_VALUE + 300 for line in log.lines)


def test_nothing_is_formatted_below_the_level(text):
    text.logger.setLevel(logging.WARNING)
    text.emit(closed(reason=object()))
    assert not text.lines


def test_a_standard_formatter_shows_message_and_fields():
    log = Log()
    log.attach(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    log.emit(closed(reason="100%"))
    assert re.fullmatch(
        r"INFO quictunnel\.remote client closed  client=\S+ service=web id=ab12 .* reason=100% .*",
        log.lines[0],
    )


@pytest.mark.parametrize("copied", [copy.copy, lambda record: pickle.loads(pickle.dumps(record))])
def test_a_structured_handler_gets_the_event(copied):
    class Handler(logging.Handler):
        def emit(self, record):
            records.append(copied(record))

    records = []
    log = Log()
    log.logger.addHandler(Handler())
    log.emit(closed())
    (record,) = records
    assert record.event == closed()
    assert record.msg == "client closed"
    assert record.getMessage().startswith("client closed  client=192.0.2.7:5555")


def test_a_queue_between_threads_changes_nothing(text):
    records = queue.SimpleQueue()
    log = Log()
    log.logger.addHandler(QueueHandler(records))
    log.emit(closed())
    text.logger.handle(records.get())
    text.emit(closed())
    first, second = (line.split(" ", 1)[1] for line in text.lines)
    assert first == second


def test_a_logger_of_the_program_filters_and_propagates(caplog):
    logger = logging.getLogger("a program that embeds a role")
    logger.setLevel(logging.INFO)
    EventLog(logger)(closed())
    logger.addFilter(lambda record: record.event.id != "ab12")
    EventLog(logger)(closed())
    assert [record.event for record in caplog.records] == [closed()]


def test_time_is_in_milliseconds():
    formatter = TextFormatter()
    for created, expected in (
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.0009, "1970-01-01T00:00:00.000Z"),
        (1.9996, "1970-01-01T00:00:01.999Z"),
        (1782000000.5, "2026-06-21T00:00:00.500Z"),
    ):
        record = logging.LogRecord("quictunnel", logging.INFO, "", 0, "tick", None, None)
        record.created, record.msecs = created, created % 1 * 1000
        assert formatter.format(record).split(" ")[0] == expected


def bug() -> events.InternalErrorOccurred:
    try:
        raise RuntimeError("line\x1b one")
    except RuntimeError as exc:
        return events.InternalErrorOccurred("accepting a client", exc, None)


def test_a_traceback_is_indented_and_escaped(text):
    text.emit(bug())
    first, *trace = text.lines
    assert first.endswith('ERROR remote  internal error  activity="accepting a client"')
    assert trace[-1] == r"    RuntimeError: line\x1b one"
    assert all(line.startswith("    ") for line in trace)


def test_a_traceback_in_json_is_a_member(as_json):
    as_json.emit(bug())
    (line,) = as_json.lines
    assert json.loads(line)["trace"][-1] == r"RuntimeError: line\x1b one"


def test_every_event_has_a_level_and_a_message():
    assert set(event_log._LINES) == KINDS


def test_field_names_do_not_hide_the_members_of_a_json_line():
    members = {"time", "level", "logger", "message", "trace"}
    for kind in KINDS:
        assert not members & {field.name for field in fields(kind)}
