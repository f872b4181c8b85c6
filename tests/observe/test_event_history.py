"""The last events: their numbers, what displaces what, and who is notified."""

from __future__ import annotations

import time
import weakref

from quictunnel.events import (
    ClientAccepted,
    InternalErrorOccurred,
    ServicesChanged,
    SignalReceived,
    TokenExpired,
)
from quictunnel.observe.event_fanout import EventFanout
from quictunnel.observe.event_history import CLIENT_EVENTS, OTHER_EVENTS, EventHistory
from quictunnel.observe.event_json import event_members
from quictunnel.observe.log_format import MAX_ITEMS


def accepted(number: int = 0) -> ClientAccepted:
    return ClientAccepted(f"192.0.2.7:{number}", "web", None)


def numbers(entries) -> list[int]:
    return [entry.number for entry in entries]


def test_events_have_consecutive_numbers_and_the_time():
    history = EventHistory(first=7)
    assert history.last == 6
    for each in (accepted(), SignalReceived("SIGTERM"), accepted()):
        history(each)
    entries = history.after(0)
    assert numbers(entries) == [7, 8, 9]
    assert history.last == 9
    assert entries[1].event == SignalReceived("SIGTERM")
    assert abs(entries[1].time - time.time()) < 60


def test_a_later_process_has_larger_numbers():
    assert EventHistory().last > EventHistory(first=1_000_000_000_000).last


def test_events_after_a_number_and_the_most_recent_ones():
    history = EventHistory(first=1)
    for number in range(10):
        history(accepted(number) if number % 2 else TokenExpired(str(number)))
    assert numbers(history.after(7)) == [8, 9, 10]
    assert numbers(history.after(10)) == []
    assert numbers(history.recent(3)) == [8, 9, 10]
    assert numbers(history.recent(100)) == list(range(1, 11))
    assert history.recent(0) == []


def test_types_of_events_can_be_left_out():
    history = EventHistory(first=1)
    for number in range(4):
        history(accepted(number) if number % 2 else TokenExpired(str(number)))
    assert numbers(history.after(1, {ClientAccepted})) == [3]


def test_after_a_number_of_another_history_all_events_follow():
    history = EventHistory(first=1)
    history(accepted())
    assert numbers(history.after(5_000)) == [1]


def test_events_of_clients_displace_no_other_events():
    history = EventHistory(first=1)
    history(TokenExpired("laptop"))
    for number in range(2 * CLIENT_EVENTS):
        history(accepted(number))
    entries = history.after(0)
    assert len(entries) == CLIENT_EVENTS + 1
    assert entries[0].event == TokenExpired("laptop")
    assert numbers(entries[1:]) == list(range(CLIENT_EVENTS + 2, 2 * CLIENT_EVENTS + 2))


def test_other_events_are_bounded_too():
    history = EventHistory(first=1)
    for number in range(2 * OTHER_EVENTS):
        history(TokenExpired(str(number)))
    assert len(history.after(0)) == OTHER_EVENTS


def test_subscribers_are_not_notified_of_the_types_that_they_exclude():
    history = EventHistory(first=1)
    calls = []
    history.subscribe(lambda: calls.append(history.last), {ClientAccepted})
    for event in (accepted(), SignalReceived("SIGTERM"), accepted()):
        history(event)
    assert calls == [2]


def test_subscribers_are_notified_until_they_unsubscribe():
    history, calls = EventHistory(), []
    unsubscribe = history.subscribe(lambda: calls.append(history.last))
    first = history.last + 1
    history(accepted())
    unsubscribe()
    unsubscribe()
    history(accepted())
    assert calls == [first]


def test_an_internal_error_keeps_nothing_alive():
    class Buffer:
        pass

    def fail() -> None:
        buffer = Buffer()
        seen.append(weakref.ref(buffer))
        raise ZeroDivisionError("secret")

    seen: list[weakref.ref[Buffer]] = []
    history = EventHistory()
    try:
        fail()
    except ZeroDivisionError as exc:
        history(InternalErrorOccurred("dividing", exc, None))
    (entry,) = history.after(0)
    assert str(entry.event.exception) == "ZeroDivisionError"
    assert seen[0]() is None


def test_a_long_list_of_services_is_kept_as_the_log_shows_it():
    history = EventHistory()
    names = tuple(map(str, range(1000)))
    history(ServicesChanged("box", "t1", "192.0.2.7:1", names))
    history(ServicesChanged("box", "t1", "192.0.2.7:1", names[:MAX_ITEMS]))
    long, short = history.after(0)
    assert long.event.services == (*names[:MAX_ITEMS], "… 900 more")
    assert event_members(long)["services"] == list(long.event.services)
    assert short.event.services == names[:MAX_ITEMS]


def test_a_fanout_passes_events_to_all_sinks_in_order():
    calls = []
    sinks = [lambda event, name=name: calls.append((name, event)) for name in ("first", "second")]
    event = SignalReceived("SIGTERM")
    EventFanout(*sinks)(event)
    assert calls == [("first", event), ("second", event)]
