"""Bounds of attacks, and the clients that measure them. The attacker's packets are real ones."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from dataclasses import replace

import pytest
import typer
from aioquic.buffer import Buffer
from aioquic.quic.packet import pull_ack_frame, pull_quic_header
from typer.testing import CliRunner

from bench.attacks.__main__ import main
from bench.attacks.bounds import AttackFigures
from bench.attacks.clients import MeasuringClients
from bench.attacks.measures import warnings
from testkit.attacker import frames, initials, packets
from testkit.attacker.addresses import OWN, endpoints, own
from testkit.attacker.packets import UdpAddress
from testkit.programs import PATIENCE, running

REMOTE, ORIGIN = UdpAddress(bytes([192, 0, 2, 1]), 9001), UdpAddress(bytes([198, 51, 100, 1]), 4433)

CALM = AttackFigures(
    attack="pings",
    engine="aioquic",
    seconds=60.0,
    packets_per_second=1000.0,
    megabits=10.0,
    echo_idle=20.0,
    echo=60.0,
    new_idle=20.0,
    new=120.0,
    admitted_idle=0.6,
    admitted=3.0,
    dialled=2.4,
    memory=64.0,
    cpu_idle=5.0,
    cpu=50.0,
    log_lines=10.0,
    counts={},
)


def test_figures_at_their_bounds_break_none():
    assert CALM.broken() == []


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"echo": 60.1}, ["echo"]),
        ({"echo_idle": 1.0, "echo": 31.1}, ["echo"]),
        ({"new": 120.1}, ["new clients"]),
        ({"admitted": 3.1}, ["admission"]),
        ({"memory": 64.1}, ["memory"]),
        ({"engine": "quinn", "cpu": 25.1}, ["CPU"]),
        ({"log_lines": 10.1}, ["log"]),
        ({"faults": ("1 open connections lost",)}, ["1 open connections lost"]),
    ],
)
def test_a_figure_beyond_its_bound_is_named(change, broken):
    assert replace(CALM, **change).broken() == broken


def test_lines_of_normal_operation_are_no_warnings():
    log = (
        "2026-11-29T21:19:12.900Z INFO  remote  client accepted  client=127.0.0.1:1\n"
        "2026-11-29T21:19:36.771Z WARN  remote  hello timed out  peer=198.18.1.0:1029\n"
        "Traceback (most recent call last):\n"
    )
    assert warnings(log) == 2


def test_clients_measure_echoes_and_new_connections(tmp_path):
    with running("server", [sys.executable, "-m", "bench.server"], tmp_path) as server:
        host, _, port = server.ready.partition(": ")[2].rpartition(":")
        clients = MeasuringClients(socket.socket, (host, int(port)))
        clients.start()
        deadline = time.monotonic() + PATIENCE
        echoes, starts = [], []
        while not (len(echoes) > 20 and len(starts) > 2) and time.monotonic() < deadline:
            time.sleep(0.1)
            samples = clients.take()
            echoes += samples.echoes
            starts += samples.starts
            assert not samples.lost + samples.failed
        assert len(echoes) > 20
        assert len(starts) > 2
        server.kill()
        while not (lost := clients.take().lost) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert lost
        clients.stop()


@pytest.mark.parametrize("option", ["--attack", "--engine"])
def test_an_unknown_name_is_a_bad_option(option):
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, [option, "nothing"]).exit_code == 2


def test_a_datagram_is_read_as_it_was_made():
    found = packets.read_udp(packets.udp(REMOTE, ORIGIN, b"data"))
    assert found == (REMOTE, ORIGIN, b"data")


def test_an_icmp_error_quotes_a_datagram_and_has_correct_checksums():
    packet = packets.unreachable(own(0), packets.PORT_UNREACHABLE, REMOTE, ORIGIN)
    header, message = packet[:20], packet[20:]
    assert packets.checksum(header) == packets.checksum(message) == 0
    assert header[12:20] == own(0) + REMOTE.address
    assert message[:2] == b"\x03\x03"
    quoted = message[8:]
    assert quoted[12:20] == REMOTE.address + ORIGIN.address
    assert quoted[20:24] == REMOTE.port.to_bytes(2) + ORIGIN.port.to_bytes(2)


def test_each_link_has_another_address_and_port():
    found = list(itertools.islice(endpoints(3), 9))
    assert len(set(found)) == 9
    assert {OWN.network_address + number for number in (1, 2, 3)} == {
        OWN.network_address + int.from_bytes(endpoint.address[2:]) for endpoint in found
    }


def test_an_ack_has_as_many_ranges_as_packets_were_received():
    ranges, _ = pull_ack_frame(Buffer(data=frames.ack(9)[1:]))
    assert [list(one) for one in ranges] == [[1], [3], [5], [7], [9]]


def test_a_packet_is_filled_with_whole_frames():
    assert frames.filled(10, itertools.repeat(frames.empty_stream_frame())) == b"\x0a\0\0" * 3


def test_an_initial_is_one_that_a_server_accepts():
    data = initials.half_open(initials.template())
    header = pull_quic_header(Buffer(data=data), host_cid_length=initials.ID_SIZE)
    assert len(data) == initials.DATAGRAM
    assert len(header.destination_cid) == initials.ID_SIZE
