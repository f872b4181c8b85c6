"""How the bench starts other tunnels. Two short scripts take the place of one."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from bench import peers
from bench.peers import PEERS, PeerTunnel, Place, running_peer, serves
from bench.ways import missing, prepare
from testkit.programs import PYTHON, ProgramError, free_port, running
from testkit.tunnel import LOOPBACK

RELAYS_THE_SECOND_TIME = """
import pathlib, socket, sys, threading
been = pathlib.Path(sys.argv[1])
if not been.exists():
    been.touch()
    sys.exit("nobody is there yet")
door = socket.create_server(("127.0.0.1", int(sys.argv[2])))

def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)

while True:
    ends = door.accept()[0], socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    for pair in (ends, ends[::-1]):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""

WAITS = "import time; time.sleep(1000)"


@pytest.fixture
def place(tmp_path: Path):
    prepare(tmp_path)
    with running("server", [PYTHON, "-m", "bench.server"], tmp_path) as server:
        port = int(server.ready.rpartition(":")[2])
        yield Place(free_port(), free_port(), port, tmp_path)


def relay(place: Place) -> peers.Commands:
    python = [str(PYTHON), "-c"]
    been = str(place.scratch / "been")
    ports = [str(place.outside), str(place.server)]
    return [*python, WAITS], [*python, RELAYS_THE_SECOND_TIME, been, *ports]


def test_a_peer_is_up_when_a_client_is_served_through_it(place, monkeypatch):
    monkeypatch.setitem(PEERS, "relay", PeerTunnel((), "TCP", relay))
    with running_peer("relay", place) as (server, client):
        assert serves((LOOPBACK, place.outside))
        assert server.process.poll() is client.process.poll() is None
    assert not serves((LOOPBACK, place.outside))


def test_a_peer_that_serves_no_client_is_an_error(place, monkeypatch):
    silent = [str(PYTHON), "-c", WAITS]
    monkeypatch.setitem(PEERS, "silent", PeerTunnel((), "TCP", lambda _: (silent, silent)))
    monkeypatch.setattr(peers, "PATIENCE", 0.5)
    with (
        pytest.raises(ProgramError, match=r"silent served no client"),
        running_peer("silent", place),
    ):
        pass


def test_a_peer_is_available_if_all_its_programs_are(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing().keys() >= PEERS.keys()
    for program in ("frps", "bore"):
        (tmp_path / program).write_text("#!/bin/sh\necho it 1.2\n")
        (tmp_path / program).chmod(0o700)
    assert "bore" not in missing()
    assert missing()["frp"] == "frps and frpc not on PATH"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    assert PEERS["bore"].version() == "it 1.2"


@pytest.mark.parametrize("name", PEERS)
def test_the_commands_and_settings_of_a_peer_have_its_ports(name, tmp_path):
    prepare(tmp_path)
    server, client = PEERS[name].commands(Place(20_001, 20_002, 20_003, tmp_path))
    settings = [path.read_text() for path in tmp_path.glob("*.toml")]
    for text in settings:
        tomllib.loads(text)
    settings += [path.read_text() for path in tmp_path.glob("ssh/config")]
    told = json.dumps([server, client, settings])
    assert "20002" in told
    assert "20003" in told
    assert Path(server[0]).name in PEERS[name].programs
    assert client[0] in PEERS[name].programs
