"""The compiled module where Python meets it: arguments, errors, threads, objects that go away."""

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

from quictunnel.quic.engines.quinn import extension

ENGINE = Path(__file__).parents[3] / "engine"
CLIENT = ("192.0.2.1", 5555, b"")
SERVER = ("192.0.2.2", 9001, b"")


def endpoint(*, accepts: bool = False, **options) -> Endpoint:
    given = {"alpn": "quictunnel/1", "hold": 900.0, "streams": 16, "unread_limit": 1 << 28}
    given |= {"congestion": None, "reset_key": None, "now": 0.0}
    made = Endpoint(**{**given, **options}, accepts=accepts)
    if accepts:
        tls = server_tls()
        chain = [certificate.public_bytes(Encoding.DER) for certificate in tls.chain]
        key = tls.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        made.set_certificate(chain, key)
    return made


class Told:
    """Writes down what it is told, and reads what comes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: list[tuple] = []
        self.data = bytearray()

    def __getattr__(self, name: str):
        return lambda *args, **options: self.calls.append((name, *args, *options.values()))

    def on_stream_readable(self, stream_id: int) -> None:
        self.data += self.connection.read(stream_id, 1 << 20)[0]


class Pair:
    """Two connections, and a wire that is pulled along by hand."""

    def __init__(self) -> None:
        self.dialling, self.accepting = endpoint(), endpoint(accepts=True)
        self.now = 0.0
        self.client = Told(self.dialling.connect(SERVER[:2], "localhost", self.now))
        self.server: Told | None = None
        self.turns(10)
        for end in (self.client, self.server):
            end.connection.trust()
            end.connection.allow_streams(1000)
        self.turns(5)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.001
            leaving = [(data, CLIENT) for data, _ in self.client.connection.transmit(self.now)]
            _, newcomers = self.accepting.receive(leaving, self.now)
            for newcomer in newcomers:
                self.server = Told(self.accepting.accept(newcomer, self.now))
            back = self.accepting.transmit()
            if self.server is not None:
                self.server.connection.dispatch(self.server)
                back += self.server.connection.transmit(self.now)
            self.dialling.receive([(data, SERVER) for data, _ in back], self.now)
            self.client.connection.dispatch(self.client)
            for end in (self.client, self.server):
                due = end and end.connection.deadline()
                if due is not None and due <= self.now:
                    end.connection.expire(self.now)


def test_the_module_says_what_it_is() -> None:
    lock = tomllib.loads((ENGINE / "Cargo.lock").read_text())
    versions = {package["name"]: package["version"] for package in lock["package"]}
    assert quictunnel_quinn.version() == f"quinn-proto {versions['quinn-proto']}"
    assert quictunnel_quinn.__version__ == versions["quictunnel-quinn"]
    assert quictunnel_quinn.API == extension.API


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [1, 5_000, 300_000])
def test_any_buffer_is_written_as_it_was_then(kind: type, size: int) -> None:
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
def test_settings_that_cannot_be_are_refused_in_words(options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        endpoint(**options)


def test_addresses_are_literal() -> None:
    with pytest.raises(ValueError, match="no literal address"):
        endpoint().connect(("example.com", 9001), None, 0.0)
    with pytest.raises(ValueError, match="no literal address"):
        endpoint().receive([(b"data", ("nowhere", 1, b""))], 0.0)
    with pytest.raises(OverflowError):
        endpoint().connect(("192.0.2.1", 65_536), None, 0.0)
    assert endpoint().connect(("fe80::1%3", 9001), None, 0.0).peer == ("fe80::1", 9001)


def test_a_descriptor_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="closed"):
        endpoint().attach(-1)
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    number = closed.fileno()
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        endpoint().attach(number)


def test_what_icmp_says_is_the_sockets_own_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.connect(("127.0.0.1", port))
        dialling = endpoint()
        dialling.attach(own.fileno())
        connection = dialling.connect(("127.0.0.1", port), None, 0.0)
        assert connection.send(0.0) == 1
        with pytest.raises(ConnectionRefusedError, match="Connection refused") as told:
            dialling.receive_ready(0.0)
        assert told.value.strerror == "Connection refused"


def test_a_newcomer_that_is_let_go_of_may_come_again() -> None:
    dialling, accepting = endpoint(), endpoint(accepts=True)
    connection = dialling.connect(SERVER[:2], None, 0.0)
    hello = [(data, CLIENT) for data, _ in connection.transmit(0.0)]
    for _ in range(3):
        _, [newcomer] = accepting.receive(hello, 0.0)
        assert newcomer.path == CLIENT
        del newcomer
    _, [newcomer] = accepting.receive(hello, 0.0)
    assert accepting.accept(newcomer, 0.0) is not None
    assert accepting.accept(newcomer, 0.0) is None, "once"
    assert newcomer.path is None
    accepting.retry(newcomer, 0.0)
    accepting.ignore(newcomer)
    assert accepting.receive(hello, 0.0)[1] == [], "it is known now"


def test_what_an_observer_raises_comes_out_and_the_rest_is_told_later() -> None:
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


def test_what_was_forgotten_is_harmless() -> None:
    pair = Pair()
    connection = pair.server.connection
    pair.accepting.forget(connection)
    assert connection.is_terminated
    assert connection.deadline() is None
    assert connection.transmit(pair.now) == []
    stream = connection.open_stream()
    connection.write(stream, b"to nobody")
    connection.reset(stream, 0)
    connection.close_with(0, "")
    pair.accepting.forget(connection)
    assert pair.accepting.receive([(bytes(50), CLIENT)], pair.now) == ([], [])


@pytest.mark.parametrize("method", ["write", "finish", "reset", "stop_reading", "read", "unsent"])
def test_a_stream_that_is_none_is_harmless(method: str) -> None:
    arguments = {"write": (b"!",), "reset": (1,), "stop_reading": (1,), "read": (10,)}
    connection = Pair().client.connection
    for number in (0, 3, 4_000_000, 2**62, 2**64 - 1):
        getattr(connection, method)(number, *arguments.get(method, ()))


def test_a_long_reason_is_cut_between_characters() -> None:
    pair = Pair()
    pair.client.connection.close_with(7, "ü" * 2000)
    pair.turns(3)
    assert pair.server.calls[-1] == ("on_closed", 7, "ü" * 256, True)


def test_threads_may_share_a_connection() -> None:
    pair = Pair()
    connection = pair.client.connection
    failures = []

    def meddle() -> None:
        try:
            for _ in range(200):
                stream = connection.open_stream()
                connection.write(stream, bytes(10_000))
                connection.unsent(stream)
                connection.reset(stream, 1)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=meddle) for _ in range(3)]
    for thread in threads:
        thread.start()
    pair.turns(20)
    for thread in threads:
        thread.join()
    assert failures == []
    assert not connection.is_terminated
