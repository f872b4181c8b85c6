"""Flow control's arithmetic by itself: a stream's window, a process's budget, a link's window."""

from __future__ import annotations

import math

from quictunnel.quic.flow_control import (
    LINK_WINDOW,
    RELIEF,
    RELIEF_EVERY,
    STREAM_WINDOW,
    STREAM_WINDOW_MAX,
    Budget,
    LinkWindow,
    Window,
)

RTT = 0.1
KIB = 1024
MIB = 1024 * 1024


def read_on(window: Window, *, rate: float, seconds: float, may_grow: bool = True) -> None:
    """Read at `rate` bytes a second as it comes, nothing waiting."""
    piece = 64 * KIB
    for number in range(int(rate * seconds / piece)):
        window.take(piece, unread=0, now=number * piece / rate, rtt=RTT, may_grow=may_grow)


class TestWindow:
    def test_it_does_not_grow_for_a_reader_who_stalls_and_gulps(self) -> None:
        window = Window(MIB)
        for gulp in range(5):
            for waiting in (768, 512, 256, 0):
                window.take(
                    256 * KIB, unread=waiting * KIB, now=gulp * 10.0, rtt=RTT, may_grow=True
                )
        assert window.size == MIB

    def test_it_moves_when_half_of_it_was_read(self) -> None:
        window = Window(STREAM_WINDOW)
        half = STREAM_WINDOW // 2
        assert not window.take(half - 1, unread=0, now=0.0, rtt=RTT, may_grow=True)
        assert window.limit == STREAM_WINDOW
        assert window.take(1, unread=0, now=0.0, rtt=RTT, may_grow=True)
        assert window.limit == half + STREAM_WINDOW

    def test_it_grows_while_it_holds_the_sender_back(self) -> None:
        window = Window(STREAM_WINDOW)
        read_on(window, rate=100e6, seconds=2.0)
        assert window.size == STREAM_WINDOW_MAX

    def test_it_does_not_grow_where_the_path_is_slower(self) -> None:
        window = Window(STREAM_WINDOW)
        read_on(window, rate=STREAM_WINDOW / (5 * RTT), seconds=30.0)
        assert window.size == STREAM_WINDOW

    def test_it_does_not_grow_when_memory_is_short(self) -> None:
        window = Window(STREAM_WINDOW)
        read_on(window, rate=100e6, seconds=2.0, may_grow=False)
        assert window.size == STREAM_WINDOW

    def test_it_does_not_grow_for_a_reader_who_lags_behind(self) -> None:
        window = Window(STREAM_WINDOW)
        for number in range(100):
            window.take(
                STREAM_WINDOW // 2,
                unread=STREAM_WINDOW // 2,
                now=number * 0.01,
                rtt=RTT,
                may_grow=True,
            )
        assert window.size == STREAM_WINDOW


class TestBudget:
    def test_headroom_is_what_is_left_and_at_most_a_links_window(self) -> None:
        assert Budget(256 * MIB).headroom == LINK_WINDOW
        assert Budget(256 * MIB, unread=250 * MIB).headroom == 6 * MIB
        assert Budget(256 * MIB, unread=300 * MIB).headroom == 0

    def test_links_share_what_is_left(self) -> None:
        budget = Budget(256 * MIB)
        windows = [LinkWindow(budget) for _ in range(16)]
        for window in windows:
            window.begin()
        assert budget.headroom == 16 * MIB
        for window in windows[1:]:
            window.end()
        assert budget.headroom == LINK_WINDOW

    def test_windows_may_grow_until_half_of_it_is_used(self) -> None:
        assert Budget(2 * MIB, unread=MIB - 1).may_grow
        assert not Budget(2 * MIB, unread=MIB).may_grow


class TestLinkWindow:
    def test_it_moves_with_what_comes_while_there_is_memory(self) -> None:
        """Streams that are not read cannot use it up."""
        window = LinkWindow(Budget(256 * MIB))
        limit = LINK_WINDOW
        for used in range(0, 10 * LINK_WINDOW, MIB):
            limit = window.move(limit, used=used, read=0, now=0.0)
            assert limit - used >= LINK_WINDOW // 2
        assert window.relief_at == math.inf

    def test_over_budget_it_moves_with_what_is_read(self) -> None:
        window = LinkWindow(Budget(MIB, unread=2 * MIB))
        assert window.move(10 * MIB, used=10 * MIB - RELIEF, read=3 * MIB, now=0.0) >= 10 * MIB
        limit = window.move(10 * MIB, used=10 * MIB, read=3 * MIB + 500, now=0.0)
        assert limit == 10 * MIB + 500

    def test_over_budget_there_is_relief_now_and_then(self) -> None:
        window = LinkWindow(Budget(MIB, unread=2 * MIB))
        limit, now = 10 * MIB, 0.0
        for _ in range(10):
            limit = window.move(limit, used=limit, read=0, now=now)
            assert window.relief_at == now + RELIEF_EVERY
            now = window.relief_at
        assert limit == 10 * MIB + 9 * RELIEF

    def test_no_relief_comes_early(self) -> None:
        window = LinkWindow(Budget(MIB, unread=2 * MIB))
        limit = window.move(10 * MIB, used=10 * MIB, read=0, now=0.0)
        for step in range(9):
            now = step * RELIEF_EVERY / 10
            assert window.move(limit, used=limit, read=0, now=now) == limit
