"""An origin whose network blocks UDP: both programs say that its link is on a WebSocket."""

from __future__ import annotations

import json
import re
import socket

import pytest

from quictunnel.origin.path_memory import FILE
from quictunnel.quic.path.network_identity import network_identity
from testkit.programs import free_port, logged
from testkit.tunnel import LOOPBACK, Tunnel


@pytest.fixture
def mute_address():
    """The address of a UDP socket that never answers. No other program can have its port."""
    with socket.socket(type=socket.SOCK_DGRAM) as mute:
        mute.bind((LOOPBACK, 0))
        yield f"{LOOPBACK}:{mute.getsockname()[1]}"


@pytest.fixture
def blocked(tunnel, mute_address):
    """A tunnel whose origin gets no answer over UDP."""

    def start(**environment: str) -> Tunnel:
        place = f"{LOOPBACK}:{free_port()}"
        tunnel.start_remote("--websocket", place, "--log-level", "info")
        tunnel.wait_for_remote()
        udp = ("--remote", mute_address)
        options = (*udp, "--websocket", f"ws://{place}", "--log-level", "info")
        tunnel.start_origin(*options, **environment)
        tunnel.wait_for_origin()
        return tunnel

    return start


def test_both_ends_show_the_kind_of_path(blocked, programs):
    tunnel = blocked()
    tunnel.origin.wait_for_log(logged("link established", path="websocket"))
    tunnel.remote.wait_for_log(logged("origin connected", path="websocket"))
    for program in (tunnel.origin, tunnel.remote):
        status = programs.quictunnel("status", "--pid", program.process.pid, "--json")
        assert status.wait() == 0
        (link,) = json.loads(status.stdout)["links"]
        assert link["path"] == "websocket"
    client, server = tunnel.pair()
    client.send(b"over a WebSocket")
    assert server.receive(16) == b"over a WebSocket"


def test_the_origin_shows_what_its_probes_of_udp_find(blocked, programs, mute_address):
    tunnel = blocked()
    tunnel.origin.wait_for_log(logged("udp probe changed", kind="unanswered"))
    status = programs.quictunnel("status", "--pid", tunnel.origin.process.pid)
    assert status.wait() == 0
    assert re.search(
        rf"^  path      websocket; last UDP probe: {mute_address} does not answer$",
        status.stdout,
        re.MULTILINE,
    )


@pytest.mark.skipif(
    network_identity() is None,
    reason="this needs Linux, and a default route to an IPv4 gateway that has answered ARP",
)
def test_the_origin_remembers_that_the_network_blocks_udp(blocked, tmp_path):
    state = tmp_path / "origin-state"
    blocked(STATE_DIRECTORY=str(state))
    (network,) = json.loads((state / FILE).read_text())
    assert network["path"] == "websocket"
    assert network["udp_failed_at"] > 0
