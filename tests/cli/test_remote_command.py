"""The lines that `quictunnel remote` prints about the links of its origins."""

from __future__ import annotations

import pytest

from quictunnel.cli.main import invoke
from quictunnel.protocol.address import Address
from quictunnel.session.link_reporter import Back, LinkState, Lost, Silent


@pytest.fixture
def lines_printed(monkeypatch, capfd):
    """Returns the lines that the command prints after `ready` when links change their state."""

    def print_states(*states: LinkState) -> list[str]:
        class FakeRemote:
            """A remote whose origin `box` goes through these states; then the remote ends."""

            link_address = Address("127.0.0.1", 9001)
            outside_address = Address("127.0.0.1", 9000)

            def __init__(self, *_, on_state, **__):
                self._on_state = on_state

            async def start(self):
                pass

            async def wait_closed(self):
                for state in states:
                    self._on_state(state, "box")

            def abort(self):
                pass

        monkeypatch.setattr("quictunnel.cli.remote.Remote", FakeRemote)
        assert invoke(["remote", "--token", "laptop." + "SECRET" * 5]) == 0
        ready, *others = capfd.readouterr().out.splitlines()
        assert ready == "ready: link udp 127.0.0.1:9001, outside tcp 127.0.0.1:9000"
        return others

    return print_states


def test_a_link_that_ends_without_silence_prints_nothing(lines_printed):
    assert lines_printed(Lost("goodbye", None)) == []


def test_a_link_lost_after_silence_prints_lost(lines_printed):
    silent, lost = lines_printed(Silent(42.0, 1, 858.0), Lost("nothing heard", 900.0))
    assert silent.startswith("silent: link of origin box silent for 42 s")
    assert lost == "lost: link of origin box lost after 15m of silence: nothing heard"


def test_a_link_that_returns_prints_back(lines_printed):
    _, back = lines_printed(Silent(2.0, 1, 60.0), Back(3.0, "192.0.2.7", None, 1))
    assert back == "back: link of origin box back after 3 s on 192.0.2.7, 1 stream kept"
