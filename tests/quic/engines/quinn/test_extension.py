"""The compiled module from Python: arguments, errors, threads, statistics, object lifetimes."""

from __future__ import annotations

import socket
import threading
import tomllib
from pathlib import Path

import pytest
import quictunnel_quinn
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pair import server_tls
from quictunnel_quinn import Connection, Endpoint

from quictunnel.quic.engine import Statistics
from quictunnel.quic.engines.quinn import extension

ENGINE = Path(__file__).parents[4] / "engine"
CLIENT = ("192.0.2.1", 5555, b"")
SERVER = ("192.0.2.2", 9001, b"")


def endpoint(*, accepts: bool = False, **options) -> Endpoint:
    given = {"alpn": "quictunnel/1", "hold": 900.0, "streams": 16, "unread_limit": 1 << 28}
    given |= {"congestion": None, "reset_key": None, "qlog": False}
    given |= {"now": 0.0}
    given |= {"unproven_datagrams": 256, "unproven_datagrams_free": 24}
    given |= {"unproven_datagrams_per_second": 250, "unproven_datagram_burst": 2000}
    given |= {"unproven_frames": 1024, "frames_per_packet": 512}
    given |= {"link_frames_per_packet": 32, "too_much": 0x2A, "violation": 0x02}
    made = Endpoint(**{**given, **options}, accepts=accepts)
    if accepts:
        tls = server_tls()
        chain = [certificate.public_bytes(Encoding.DER) for certificate in tls.chain]
        key = tls.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        made.set_certificate(chain, key)
    return made


class Recorder:
    """An observer that records its calls and reads its streams."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: list[tuple] = []
        self.data = bytearray()

    def __getattr__(self, name: str):
        return lambda *args, **options: self.calls.append((name, *args, *options.values()))

    def on_stream_readable(self, stream_id: int) -> None:
        self.data += self.connection.read(stream_id, 1 << 20)[0]


class Pair:
    """Two connected endpoints. `turns` exchanges their datagrams in virtual time."""

    def __init__(self) -> None:
        self.client_endpoint, self.server_endpoint = endpoint(), endpoint(accepts=True)
        self.now = 0.0
        self.client = Recorder(self.client_endpoint.connect(SERVER[:2], "localhost", self.now))
        self.server: Recorder | None = None
        self.turns(10)
        for end in (self.client, self.server):
            end.connection.trust()
            end.connection.allow_streams(1000)
        self.turns(5)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.001
            sent = [(data, CLIENT) for data, _ in self.client.connection.transmit(self.now)]
            _, incoming = self.server_endpoint.receive(sent, self.now)
            for connection in incoming:
                self.server = Recorder(self.server_endpoint.accept(connection, self.now))
            received = self.server_endpoint.transmit()
            if self.server is not None:
                self.server.connection.dispatch(self.server)
                received += self.server.connection.transmit(self.now)
            self.client_endpoint.receive([(data, SERVER) for data, _ in received], self.now)
            self.client.connection.dispatch(self.client)
            for end in (self.client, self.server):
                due = end and end.connection.deadline()
                if due is not None and due <= self.now:
                    end.connection.expire(self.now)


def test_versions_agree() -> None:
    lock = tomllib.loads((ENGINE / "Cargo.lock").read_text())
    versions = {package["name"]: package["version"] for package in lock["package"]}
    assert quictunnel_quinn.version() == f"quinn-proto {versions['quinn-proto']}"
    assert quictunnel_quinn.__version__ == versions["quictunnel-quinn"]
    assert quictunnel_quinn.API == extension.API


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [1, 5_000, 300_000])
def test_a_buffer_may_be_modified_after_it_was_written(kind: type, size: int) -> None:
    pair = Pair()
    stream = pair.client.connection.open_stream()
    content = bytearray(range(256)) * (size // 256 + 1)
    expected = bytes(content)
    pair.client.connection.write(stream, kind(content) if kind is not memoryview else content)
    content[:] = bytes(len(content))
    pair.turns(100)
    assert pair.server.data == expected


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"congestion": "vegas"}, "vegas"),
        ({"hold": -1.0}, "hold"),
        ({"hold": 1e300}, "hold"),
        ({"hold": float("nan")}, "hold"),
    ],
)
def test_invalid_settings_raise_value_errors(options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        endpoint(**options)


def test_addresses_are_literal() -> None:
    with pytest.raises(ValueError, match="not a literal IP address"):
        endpoint().connect(("example.com", 9001), None, 0.0)
    with pytest.raises(ValueError, match="not a literal IP address"):
        endpoint().receive([(b"data", ("nowhere", 1, b""))], 0.0)
    with pytest.raises(OverflowError):
        endpoint().connect(("192.0.2.1", 65_536), None, 0.0)
    assert endpoint().connect(("fe80::1%3", 9001), None, 0.0).peer == ("fe80::1", 9001)


def test_an_invalid_descriptor_is_rejected() -> None:
    with pytest.raises(ValueError, match="closed"):
        endpoint().attach(-1)
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    number = closed.fileno()
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        endpoint().attach(number)


def test_an_icmp_error_is_raised_as_an_os_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        client = endpoint()
        client.attach(sock.fileno())
        connection = client.connect(("127.0.0.1", port), None, 0.0)
        assert connection.send(0.0) == 1
        with pytest.raises(ConnectionRefusedError, match="Connection refused") as raised:
            client.receive_ready(0.0)
        assert raised.value.strerror == "Connection refused"


def test_an_ignored_connection_may_try_again() -> None:
    client, server = endpoint(), endpoint(accepts=True)
    connection = client.connect(SERVER[:2], None, 0.0)
    hello = [(data, CLIENT) for data, _ in connection.transmit(0.0)]
    for _ in range(3):
        _, [incoming] = server.receive(hello, 0.0)
        assert incoming.path == CLIENT
        del incoming
    _, [incoming] = server.receive(hello, 0.0)
    assert server.accept(incoming, 0.0) is not None
    assert server.accept(incoming, 0.0) is None, "it was accepted before"
    assert incoming.path is None
    server.retry(incoming)
    server.ignore(incoming)
    assert server.receive(hello, 0.0)[1] == [], "the connection exists"


def test_an_exception_of_the_observer_propagates_and_later_events_are_kept() -> None:
    pair = Pair()
    for _ in range(3):
        pair.client.connection.write(pair.client.connection.open_stream(), b"!")

    def fail(stream_id: int) -> None:
        del pair.server.on_stream_opened
        raise RuntimeError(stream_id)

    pair.server.on_stream_opened = fail
    with pytest.raises(RuntimeError, match="0"):
        pair.turns(5)
    pair.turns(5)
    assert [call[1] for call in pair.server.calls if call[0] == "on_stream_opened"] == [4, 8]
    assert pair.server.data == b"!!!"


def test_a_discarded_connection_accepts_all_calls() -> None:
    pair = Pair()
    connection = pair.server.connection
    pair.server_endpoint.discard(connection)
    assert connection.is_terminated
    assert connection.deadline() is None
    assert connection.transmit(pair.now) == []
    stream = connection.open_stream()
    connection.write(stream, b"to nobody")
    connection.reset(stream, 0)
    connection.close_with(0, "")
    pair.server_endpoint.discard(connection)
    assert pair.server_endpoint.receive([(bytes(50), CLIENT)], pair.now) == ([], [])


@pytest.mark.parametrize("method", ["write", "finish", "reset", "stop_reading", "read", "unsent"])
def test_calls_on_an_unknown_stream_do_nothing(method: str) -> None:
    arguments = {"write": (b"!",), "reset": (1,), "stop_reading": (1,), "read": (10,)}
    connection = Pair().client.connection
    for number in (0, 3, 4_000_000, 2**62, 2**64 - 1):
        getattr(connection, method)(number, *arguments.get(method, ()))


def test_a_long_reason_is_truncated_between_characters() -> None:
    pair = Pair()
    pair.client.connection.close_with(7, "ü" * 2000)
    pair.turns(3)
    assert pair.server.calls[-1] == ("on_closed", 7, "ü" * 256, True)


def test_statistics_count_both_directions() -> None:
    pair = Pair()
    before, server_before = (end.connection.statistics for end in (pair.client, pair.server))
    assert isinstance(before, Statistics)
    assert before.mtu >= 1200
    assert before.congestion_window >= 10 * 1200
    stream = pair.client.connection.open_stream()
    pair.client.connection.write(stream, bytes(100_000))
    pair.turns(200)
    assert len(pair.server.data) == 100_000
    client, server = pair.client.connection.statistics, pair.server.connection.statistics
    assert client.rtt is not None
    assert client.rtt == pair.client.connection.rtt
    sent = client.bytes_sent - before.bytes_sent
    assert sent > 100_000
    assert client.packets_sent > before.packets_sent
    assert server.bytes_received - server_before.bytes_received == sent
    returned = server.bytes_sent - server_before.bytes_sent
    assert client.bytes_received - before.bytes_received == returned > 0
    assert client.packets_lost == client.bytes_lost == 0


def test_statistics_count_losses() -> None:
    pair = Pair()
    stream = pair.client.connection.open_stream()
    pair.client.connection.write(stream, bytes(50_000))
    pair.now += 0.001
    lost = pair.client.connection.transmit(pair.now)
    pair.turns(500)
    assert len(pair.server.data) == 50_000
    found = pair.client.connection.statistics
    assert found.packets_lost == len(lost)
    assert found.bytes_lost == sum(len(data) for data, _ in lost)


def test_there_is_no_round_trip_time_before_the_first_ack() -> None:
    connection = endpoint().connect(SERVER[:2], None, 0.0)
    assert connection.statistics.rtt is None


def test_threads_may_share_a_connection() -> None:
    pair = Pair()
    connection = pair.client.connection
    failures = []

    def use_streams() -> None:
        try:
            for _ in range(200):
                stream = connection.open_stream()
                connection.write(stream, bytes(10_000))
                connection.unsent(stream)
                connection.reset(stream, 1)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=use_streams) for _ in range(3)]
    for thread in threads:
        thread.start()
    pair.turns(20)
    for thread in threads:
        thread.join()
    assert failures == []
    assert not connection.is_terminated
