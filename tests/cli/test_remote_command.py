"""The lines that `quictunnel remote` prints about the links of its origins."""

from __future__ import annotations

import pytest

from quictunnel.cli.main import invoke
from quictunnel.events import Event, LinkDropped, LinkRecovered, LinkSilent
from quictunnel.protocol.address import Address


@pytest.fixture
def lines_printed(monkeypatch, capfd):
    """Returns the lines that the command prints after `ready` when its origins' links change."""

    def print_states(*events: Event) -> list[str]:
        class FakeRemote:
            """A remote that emits these events, and then ends."""

            link_address = Address("127.0.0.1", 9001)
            outside_address = Address("127.0.0.1", 9000)

            def __init__(self, *_, emit, **__):
                self._emit = emit

            async def start(self):
                pass

            async def wait_closed(self):
                for event in events:
                    self._emit(event)

            def abort(self):
                pass

        monkeypatch.setattr("quictunnel.cli.remote.Remote", FakeRemote)
        assert invoke(["remote", "--token", "laptop." + "SECRET" * 5]) == 0
        ready, *others = capfd.readouterr().out.splitlines()
        assert ready == "ready: link udp 127.0.0.1:9001, outside tcp 127.0.0.1:9000"
        return others

    return print_states


def test_a_link_that_ends_without_silence_prints_nothing(lines_printed):
    assert lines_printed(LinkDropped("box", "t", "::1", "goodbye", None)) == []


def test_a_link_lost_after_silence_prints_lost(lines_printed):
    silent, lost = lines_printed(
        LinkSilent("box", "t", "::1", 42.0, 1, 858.0, is_reminder=False),
        LinkSilent("box", "t", "::1", 60.0, 1, 840.0, is_reminder=True),
        LinkDropped("box", "t", "::1", "nothing heard", 900.0),
    )
    assert silent.startswith("silent: link of origin box silent for 42 s")
    assert lost == "lost: link of origin box lost after 15m of silence: nothing heard"


def test_a_link_that_returns_prints_back(lines_printed):
    _, back = lines_printed(
        LinkSilent("box", "t", "::1", 2.0, 1, 60.0, is_reminder=False),
        LinkRecovered("box", "t", "192.0.2.7", None, 3.0, 1),
    )
    assert back == "back: link of origin box back after 3 s on 192.0.2.7, 1 stream kept"
