"""No packet costs more than an honest one of many small frames, however many came before it.

Work is counted in lines of Python. Peers are proven here: others have small budgets as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aioquic.tls import Epoch
from attack import Attack, on_server
from pair import Pair

from testkit.crafted_packets import PING, ack_frame, crypto_frame, stream_frame, varint
from testkit.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Frames = Callable[[int], bytes]

SIZE = 1350
"""Bytes of frames in a packet."""

TINY = 250
"""Streams with one byte each that fit a packet."""

PACKETS = 20
"""Packets before the one whose work is counted."""


def full(frame: bytes) -> Frames:
    """Return packets full of one frame."""
    return lambda number: frame * (SIZE // len(frame))


def numbered(count: int, frame: Callable[[int], bytes]) -> Frames:
    """Return packets of `count` frames, each of which knows its number."""
    return lambda number: b"".join(frame(number * count + place) for place in range(count))


ATTACKS: dict[str, Frames] = {
    "empty STREAM": full(stream_frame(0, 0, b"")),
    "the same byte": full(stream_frame(0, 0, b"x")),
    "overlaps": numbered(170, lambda n: stream_frame(0, 5000 + n, b"xx")),
    "bytes with gaps": numbered(170, lambda n: stream_frame(0, 5001 + 2 * n, b"x")),
    "bytes with gaps, last first": numbered(150, lambda n: stream_frame(0, 99_999 - 2 * n, b"x")),
    "bytes in order behind a gap": numbered(170, lambda n: stream_frame(0, 5000 + n, b"x")),
    "far bytes": full(stream_frame(0, 500_000, b"x")),
    "CRYPTO gaps": numbered(30, lambda n: crypto_frame(5 + 2 * n, b"x")),
    "the same CRYPTO": full(crypto_frame(0, b"")),
    "STOP_SENDING": full(b"\x05\x00\x01"),
    "STOP_SENDING of new streams": numbered(TINY, lambda n: b"\x05" + varint(4 + 4 * n) + b"\1"),
    "rapid reset": numbered(
        TINY // 2,
        lambda n: b"\x05" + varint(4 + 4 * n) + b"\x01\x04" + varint(4 + 4 * n) + b"\x01\x00",
    ),
    "RESET_STREAM": full(b"\x04\x00\x01\x01"),
    "PING": full(PING),
    "PING and PADDING": full(PING + b"\x00"),
    "long PADDING": full(b"\x40\x00"),
    "MAX_DATA": full(b"\x10\x01"),
    "MAX_STREAM_DATA": full(b"\x11\x00\x01"),
    "MAX_STREAMS": full(b"\x12\x01"),
    "DATA_BLOCKED": full(b"\x14\x01"),
    "STREAM_DATA_BLOCKED": full(b"\x15\x00\x01"),
    "STREAMS_BLOCKED": full(b"\x16\x01"),
    "NEW_CONNECTION_ID": full(b"\x18\x01\x00\x08" + bytes(24)),
    "RETIRE_CONNECTION_ID": numbered(30, lambda n: b"\x19" + varint(n + 1)),
    "PATH_CHALLENGE": full(b"\x1a" + bytes(8)),
    "PATH_RESPONSE": full(b"\x1b" + bytes(8)),
    "ACKs": full(ack_frame(1, [])),
    "DATAGRAM": full(b"\x31\x01x"),
    "unknown": full(b"\x21"),
}


def attacked(**options: object) -> Attack:
    """Return an attack on a proven link with one stream."""
    pair = Pair.trusting(streams=TINY * (PACKETS + 2), **options)
    pair.client.open(b"x")
    pair.run_for(0.5)
    return on_server(pair)


@pytest.fixture(scope="module")
def honest_work() -> int:
    """Lines that run for a packet that opens and ends as many streams as fit it."""
    attack = attacked()
    open_streams = numbered(TINY, lambda n: stream_frame(4 + 4 * n, 0, b"x", fin=True))
    attack.send(open_streams(0))
    return lines_of(lambda: attack.send(open_streams(1)))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_packet_costs_no_more_than_an_honest_one_of_small_frames(
    name: str, honest_work: int
) -> None:
    attack = attacked()
    frames = ATTACKS[name]
    first = lines_of(lambda: attack.send(frames(0)))
    for number in range(1, PACKETS):
        attack.send(frames(number))
    last = lines_of(lambda: attack.send(frames(PACKETS)))
    assert max(first, last) < 1.4 * honest_work


def send_packets(attack: Attack, count: int) -> list[int]:
    """Let the attacked end send packets that are not acknowledged, and return their numbers."""
    engine = attack.target.engine
    engine._loss._cc.congestion_window = 1 << 30
    engine._loss.pacer.set_rate(1e10)
    engine._remote_max_data = 1 << 30
    stream = attack.target.open(bytes(count * 1300))
    engine._table.open[stream].max_stream_data_remote = 1 << 30
    while engine.unsent(stream):
        engine.transmit(attack.pair.now)
        attack.pair.now += 1e-4
    return list(engine._spaces[Epoch.ONE_RTT].sent_packets)


def test_hundreds_of_ranges_cost_no_more_if_they_acknowledge_nothing_new(honest_work: int) -> None:
    attack = attacked()
    largest = send_packets(attack, 1300)[-1]
    attack.send(ack_frame(largest, [], first=largest))
    ranges = ack_frame(largest, [(0, 0)] * 590)
    assert lines_of(lambda: attack.send(ranges)) < honest_work / 5
    assert attack.target.closed is None


def test_selective_acknowledgements_cost_no_more_the_more_was_lost() -> None:
    """Each makes hundreds of gaps in what must be sent again."""
    attack = attacked()
    numbers = send_packets(attack, 4000)
    work = []
    for largest in numbers[1000::1000]:
        data = attack.crafter.packet(ack_frame(largest, [(0, 0)] * 490))
        work.append(
            lines_of(lambda data=data: attack.target.take([(data, attack.path)], attack.pair.now))
        )
    assert attack.target.closed is None
    assert len(work) >= 3
    assert max(work) < 1.2 * work[0]


def test_a_little_credit_causes_no_walk_over_all_streams_that_wait_for_it() -> None:
    work = []
    for waiting in (20, 2000):
        attack = attacked()
        engine = attack.target.engine
        attack.pair.client.engine._local_max_streams_bidi.value = waiting + 10
        engine._remote_max_streams_bidi = waiting + 10
        engine._remote_max_data = engine._remote_max_data_used
        for _ in range(waiting):
            attack.target.open(bytes(100))
        engine.transmit(attack.pair.now)
        limit = engine._remote_max_data
        attack.send(b"\x10" + varint(limit + 1))
        work.append(lines_of(lambda a=attack, n=limit + 2: a.send(b"\x10" + varint(n))))
        assert engine._remote_max_data_used == limit + 2
    few, many = work
    assert many <= few + 50


def test_a_change_of_address_in_each_packet_costs_little(honest_work: int) -> None:
    attack = attacked()
    work = []
    for port in range(1, 30):
        data = attack.crafter.packet(PING)
        attack.path = ("192.0.2.9", port, b"")
        work.append(lines_of(lambda data=data: attack.send_datagram(data)))
    assert attack.target.closed is None
    assert max(work) < honest_work / 10


def test_a_new_key_in_each_packet_costs_little(honest_work: int) -> None:
    attack = attacked()
    crypto = attack.pair.client.engine._cryptos[Epoch.ONE_RTT]
    work = []
    for _ in range(20):
        crypto._update_key("test")
        data = attack.crafter.packet(PING)
        work.append(lines_of(lambda data=data: attack.send_datagram(data)))
    assert attack.target.closed is None
    assert max(work) < honest_work / 10


def test_random_bytes_cost_little(honest_work: int) -> None:
    attack = attacked()
    head = b"\x41" + attack.pair.client.engine._peer_cid.cid
    for byte in range(256):
        data = head + bytes([byte]) * 1200
        assert lines_of(lambda data=data: attack.send_datagram(data)) < honest_work / 10
