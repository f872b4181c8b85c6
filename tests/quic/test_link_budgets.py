"""Limits on the cost of one link: before the proof, in each packet, and after the close.

Attackers are aioquic connections that send packets which no engine sends by itself.
"""

from __future__ import annotations

import pytest
from attack import Attack, on_server
from pair import AIOQUIC, CLIENT_PATH, ROUGH, SERVER_PATH, Engines, Network, Pair, endpoint

from quictunnel.protocol.codes import Code
from quictunnel.quic import limits
from quictunnel.quic.limits import (
    FRAMES_PER_PACKET,
    LINK_FRAMES_PER_PACKET,
    PACKETS_PER_DATAGRAM,
    UNPROVEN_DATAGRAMS,
    UNPROVEN_DATAGRAMS_FREE,
    UNPROVEN_FRAMES,
)
from quictunnel.quic.settings import LinkSettings
from testkit.crafted_packets import PING, crypto_frame, sealed_initial, stream_frame
from testkit.engines import ENGINES

MAX_DATA = b"\x10\x01"
"""A MAX_DATA frame that raises nothing."""

TINY = 250
"""Streams with one byte each that fit a packet."""

HELLO = 64 * 1024
"""Bytes of the largest control message."""

USUAL_HELLO = 8 * 1024
"""Bytes of a hello with 128 services that have usual names."""


@pytest.fixture(params=ENGINES)
def bounded(request: pytest.FixtureRequest) -> Engines:
    """An attacker at the end that dials, and an engine with limits at the end that accepts."""
    return "aioquic", request.param


@pytest.fixture(params=ENGINES)
def bounded_dialer(request: pytest.FixtureRequest) -> Engines:
    """An engine with limits at the end that dials, and an attacker at the end that accepts."""
    return request.param, "aioquic"


def received(pair: Pair, stream: int) -> int:
    """Return the number of bytes that the server has of a stream."""
    return len(pair.server.inbox.get(stream, b""))


def unproven(engines: Engines, **options: object) -> Pair:
    """Return a pair that has shaken hands. Neither end has proven anything."""
    pair = Pair(engines=engines, **options)
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    pair.run_for(1.0)
    return pair


# Budgets before the proof


def test_datagrams_before_the_proof_are_counted(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    for _ in range(UNPROVEN_DATAGRAMS // 2):
        attack.send(PING)
    assert attack.target.closed is None
    for _ in range(UNPROVEN_DATAGRAMS // 2):
        attack.send(PING)
    assert attack.target.closed == (Code.TOO_MUCH, "too much before the proof", False)


def test_datagrams_that_cannot_be_decrypted_count_too(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    for _ in range(UNPROVEN_DATAGRAMS):
        sealed = bytearray(attack.crafter.packet(PING))
        sealed[-1] ^= 1
        attack.send_datagram(bytes(sealed))
    assert attack.target.closed[0] == Code.TOO_MUCH


def test_frames_before_the_proof_are_counted_at_the_end_that_accepts(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    assert_frames_are_counted(attack)


def test_frames_before_the_proof_are_counted_at_the_end_that_dials(
    bounded_dialer: Engines,
) -> None:
    pair = unproven(bounded_dialer)
    assert_frames_are_counted(Attack(pair, pair.server))


def assert_frames_are_counted(attack: Attack) -> None:
    stream = attack.pair.other(attack.target).open(b"0")
    attack.pair.run_for(0.5)
    repeated = stream_frame(stream, 0, b"0") * TINY
    for _ in range(UNPROVEN_FRAMES // TINY - 1):
        attack.send(repeated)
    assert attack.target.closed is None
    for _ in range(2):
        attack.send(repeated)
    assert attack.target.closed[0] == Code.TOO_MUCH


def test_a_peer_hears_that_it_was_too_much(bounded: Engines) -> None:
    pair = unproven(bounded)
    attack = on_server(pair)
    for _ in range(UNPROVEN_DATAGRAMS):
        pair.server.take([(attack.crafter.packet(PING), CLIENT_PATH)], pair.now)
    pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed == (Code.TOO_MUCH, "too much before the proof", True)


def test_proven_links_have_no_such_budgets(bounded: Engines) -> None:
    pair = Pair.trusting(engines=bounded)
    attack = on_server(pair)
    stream = pair.client.open(b"0")
    pair.run_for(0.5)
    for _ in range(2 * UNPROVEN_DATAGRAMS):
        attack.send(stream_frame(stream, 0, b"0") * 10)
    assert attack.target.closed is None


def test_a_dialing_end_takes_any_number_of_datagrams(bounded_dialer: Engines) -> None:
    """Its peer may send clients' data together with its proof."""
    pair = unproven(bounded_dialer)
    attack = Attack(pair, pair.server)
    for _ in range(2 * UNPROVEN_DATAGRAMS):
        attack.send(bytes(20))  # PADDING, which is no frame that counts
    assert attack.target.closed is None


# The rate of all unproven links together


def set_rate(monkeypatch: pytest.MonkeyPatch, *, burst: int, per_second: int = 1) -> None:
    monkeypatch.setattr(limits, "UNPROVEN_DATAGRAM_BURST", burst)
    monkeypatch.setattr(limits, "UNPROVEN_DATAGRAMS_PER_SECOND", per_second)


def send_bytes(attack: Attack, stream: int, count: int) -> int:
    """Send single bytes in datagrams of their own. Return how many arrive before the first loss."""
    inbox = attack.target.inbox[stream]
    start = len(inbox)
    for number in range(count):
        attack.send(stream_frame(stream, start + number, b"0"))
    return len(inbox) - start


def test_unproven_links_share_a_rate_beyond_their_free_datagrams(
    bounded: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(monkeypatch, burst=100)
    first, second = Pair(engines=bounded), Pair(engines=bounded)
    second.server.endpoint = first.server.endpoint
    arrived = []
    for pair in (first, second):
        pair.now = first.now
        stream = pair.client.open(b"0")
        pair.run(lambda pair=pair, stream=stream: stream in pair.server.inbox)
        arrived.append(send_bytes(on_server(pair), stream, 200))
    assert 100 < arrived[0] < 100 + UNPROVEN_DATAGRAMS_FREE
    assert 0 < arrived[1] < UNPROVEN_DATAGRAMS_FREE
    second.now += 10
    assert send_bytes(on_server(second), stream, 200) == 10


def test_datagrams_above_the_rate_are_lost_and_close_nothing(
    bounded: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(monkeypatch, burst=0)
    attack = on_server(unproven(bounded))
    for _ in range(2 * UNPROVEN_DATAGRAMS):
        attack.send(PING)
    assert attack.target.closed is None


def test_a_usual_hello_fits_the_free_datagrams_on_a_bad_path(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(monkeypatch, burst=0)
    for seed in range(10):
        pair = Pair(Network(**ROUGH, seed=seed), engines=engines)
        pair.run(lambda pair=pair: all(end.handshakes for end in pair.ends))
        stream = pair.client.open(bytes(USUAL_HELLO))
        pair.run(lambda pair=pair, stream=stream: received(pair, stream) == USUAL_HELLO)


def test_proven_links_do_not_share_the_rate(
    bounded: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(monkeypatch, burst=0)
    pair = Pair.trusting(engines=bounded)
    stream = pair.client.open(b"0")
    pair.run_for(0.5)
    assert send_bytes(on_server(pair), stream, 200) == 200


def test_a_dialing_end_does_not_share_the_rate(
    bounded_dialer: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate(monkeypatch, burst=0)
    pair = unproven(bounded_dialer)
    stream = pair.server.open(b"0")
    pair.run_for(0.5)
    assert send_bytes(Attack(pair, pair.server), stream, 200) == 200


# Proven links first


def test_datagrams_of_proven_links_are_processed_first(bounded: Engines) -> None:
    pair = Pair.trusting(engines=bounded)
    attack = on_server(pair)
    server = pair.server.endpoint
    stranger = endpoint("aioquic", LinkSettings(), accepts=False, streams=16, now=pair.now)
    engine = stranger.connect(SERVER_PATH[:2], None, pair.now)
    hello = [(data, ("192.0.2.66", 6, b"")) for data, _ in engine.transmit(pair.now)]
    (incoming,) = server.receive(hello, pair.now).incoming
    unproven_engine = server.accept(incoming, pair.now)
    proven = [(attack.crafter.packet(PING), CLIENT_PATH)]
    batch = server.receive([*hello, *proven, *hello], pair.now)
    assert list(batch.connections) == [pair.server.engine, unproven_engine]


# After the close


def test_a_link_over_its_budget_answers_once_and_then_no_more(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    while attack.target.closed is None:
        attack.answers = 0
        attack.send(PING)
    assert attack.answers == 1
    for _ in range(200):
        attack.send(PING)
    assert attack.answers == 1


def test_a_closed_link_has_little_to_do_for_late_datagrams(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    attack.target.engine.close_with(Code.GOODBYE, "")
    attack.send(PING)
    late = [[(attack.crafter.packet(PING), CLIENT_PATH)] for _ in range(200)]
    receive, now = attack.target.endpoint.receive, attack.pair.now
    assert sum(len(receive(each, now).connections) for each in late) < 10


# Limits on each packet, for proven links too


@pytest.mark.parametrize("frames", [LINK_FRAMES_PER_PACKET, LINK_FRAMES_PER_PACKET + 1])
def test_frames_that_do_nothing_for_a_stream_are_few_in_a_packet(
    frames: int, bounded: Engines
) -> None:
    pair = Pair.trusting(engines=bounded)
    kinds = [PING, MAX_DATA]
    if pair.server.probe.counts_empty_stream_frames:
        kinds.append(stream_frame(0, 0, b""))
    for kind in kinds:
        attack = on_server(Pair.trusting(engines=bounded))
        attack.pair.client.open(b"0")
        attack.pair.run_for(0.5)
        attack.send(kind * frames)
        assert (attack.target.closed is None) == (frames == LINK_FRAMES_PER_PACKET)


def test_a_packet_with_too_many_frames_is_a_protocol_violation(bounded: Engines) -> None:
    pair = Pair.trusting(engines=bounded)
    attack = on_server(pair)
    attack.send(PING * (FRAMES_PER_PACKET + 1))
    assert attack.target.closed is not None
    code, _, by_peer = attack.target.closed
    assert (code, by_peer) == (attack.target.probe.code_of_too_many_frames, False)


def test_aioquic_drops_a_datagram_that_joins_too_many_packets() -> None:
    pair = Pair(engines=AIOQUIC)
    client = pair.client.engine
    hello = client.transmit(pair.now)
    pair.server.take([(data, CLIENT_PATH) for data, _ in hello], pair.now)
    pair.server.engine.transmit(pair.now)
    joined = [
        sealed_initial(
            PING + bytes(30),
            destination=client._peer_cid.cid,
            source=client.host_cid,
            number=100 + number,
        )
        for number in range(PACKETS_PER_DATAGRAM + 1)
    ]
    for count, is_answered in ((PACKETS_PER_DATAGRAM + 1, False), (PACKETS_PER_DATAGRAM, True)):
        pair.server.take([(b"".join(joined[:count]).ljust(1200, b"\0"), CLIENT_PATH)], pair.now)
        assert bool(pair.server.engine.transmit(pair.now)) == is_answered


def test_padding_does_not_count(bounded: Engines) -> None:
    attack = on_server(Pair.trusting(engines=bounded))
    attack.send(PING + bytes(1300))
    assert attack.target.closed is None


def test_a_handshake_has_a_largest_size(bounded: Engines) -> None:
    attack = on_server(unproven(bounded))
    most = attack.target.probe.handshake_bytes
    attack.send(crypto_frame(most - 1, b"x"))
    assert attack.target.closed is None
    attack.send(crypto_frame(most + 2048, b"x"))
    assert attack.target.closed is not None


# Honest extremes


MESSAGE = bytes(range(20))

STREAMS = 60
"""Streams whose messages fill a datagram of small frames."""


def chatting(engines: Engines) -> tuple[Pair, list[int]]:
    """Return a pair that trusts each other, and streams that the client has opened."""
    pair = Pair.trusting(engines=engines, streams=STREAMS + 5)
    streams = [pair.client.open(MESSAGE) for _ in range(STREAMS)]
    pair.run_for(0.5)
    return pair, streams


def chat(pair: Pair, streams: list[int], rounds: int) -> None:
    """Write a message to each stream, in each of so many rounds."""
    for _ in range(rounds):
        for stream in streams:
            pair.client.write(stream, MESSAGE)
        pair.run_for(0.001)


def assert_all_arrives(pair: Pair, streams: list[int]) -> None:
    """Both ends are open, and the server gets what the client wrote."""
    server = pair.server
    server.resume(*streams)
    pair.run(
        lambda: all(len(server.inbox[stream]) >= pair.client.written[stream] for stream in streams)
    )
    for stream in streams:
        written = pair.client.written[stream]
        assert server.inbox[stream] == MESSAGE * (written // len(MESSAGE))
    assert server.closed is pair.client.closed is None


def test_small_messages_on_paused_streams_are_welcome(engines: Engines) -> None:
    pair, streams = chatting(engines)
    pair.server.paused = set(streams)
    chat(pair, streams, 1500)
    assert_all_arrives(pair, streams)


def test_small_messages_are_welcome_when_reading_stops_and_goes_on(engines: Engines) -> None:
    pair, streams = chatting(engines)
    for _ in range(30):
        pair.server.paused = set(streams)
        chat(pair, streams, 50)
        pair.server.resume(*streams)
    assert_all_arrives(pair, streams)


def test_small_messages_that_are_read_late_are_welcome(engines: Engines) -> None:
    """64 datagrams arrive at once, and are read after the last one."""
    pair, streams = chatting(engines)
    client, server = pair.client, pair.server
    for _ in range(60):
        server.paused = set(streams)
        batch: list[bytes] = []
        while len(batch) < 64:
            for stream in streams:
                client.write(stream, MESSAGE)
            pair.now += 0.001
            sent = [data for data, _ in client.engine.transmit(pair.now)]
            if not sent:  # the congestion window is full
                break
            batch += sent
        server.take([(data, CLIENT_PATH) for data in batch], pair.now)
        server.engine.dispatch(server)
        server.resume(*streams)
        pair.run_for(0.1)
    assert_all_arrives(pair, streams)


def test_a_packet_may_open_and_end_as_many_streams_as_fit(met_by_aioquic: Engines) -> None:
    pair = Pair.trusting(engines=met_by_aioquic, streams=2 * TINY)
    attack = on_server(pair)
    attack.send(b"".join(stream_frame(4 * n, 0, b"x", fin=True) for n in range(TINY)))
    assert attack.target.closed is None
    assert len(attack.target.fins) == TINY


def test_the_largest_hello_passes_on_a_bad_path(engines: Engines) -> None:
    for seed in range(10):
        pair = Pair(Network(**ROUGH, seed=seed), engines=engines)
        pair.run(lambda pair=pair: all(end.handshakes for end in pair.ends))
        stream = pair.client.open(bytes(HELLO))
        pair.run(lambda pair=pair, stream=stream: received(pair, stream) == HELLO)
        assert pair.server.closed is None


def test_a_long_wait_for_the_proof_passes(engines: Engines) -> None:
    pair = Pair(Network(**ROUGH), engines=engines)
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    for _ in range(20):
        pair.client.engine.ping()
        pair.run_for(0.5)
    assert pair.server.closed is pair.client.closed is None
