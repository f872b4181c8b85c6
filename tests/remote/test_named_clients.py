"""Clients of shared listeners: their first bytes select a route, or they get a last answer."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from role_doubles import FakeTcp, House, Tunnel, of_type

from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Policy
from quictunnel.events import ClientAccepted, ClientClosed, ClientLimitReached, ClientRejected
from quictunnel.protocol.client_hello import MAX_CLIENT_HELLO, unrecognized_name_alert
from quictunnel.remote import admission
from quictunnel.remote.last_answer import DROP_LIMIT, TIME_LIMIT
from quictunnel.remote.name_readers import HttpNameReader, TlsNameReader
from quictunnel.remote.pending_client import NAME_TIMEOUT
from quictunnel.remote.unnamed_clients import MAX_UNNAMED_PER_SOURCE
from testkit.client_hellos import browser_hello, client_hello, records, server_name
from testkit.clock import seconds, settle, virtual_time

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.7 40000 443\r\n"


def hello(name: bytes) -> bytes:
    return records(browser_hello(name))


def request(host: str, method: str = "GET") -> bytes:
    return f"{method} / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


class Shared:
    """A remote with the host www.test, and an origin unless a test brings it."""

    def __init__(self, **settings) -> None:
        self.house = House("www", **settings)
        self.route = self.house.routes.routes["www"]
        self.route.host = "www.test"
        self.names = {"www.test"}

    async def up(self) -> Shared:
        self.tunnel = await Tunnel(self.house, "www").up()
        return self

    def client(self, kind, *, host: str = "192.0.2.7") -> FakeTcp:
        reader = kind(lambda name: self.route if name in self.names else None)
        return FakeTcp((host, 5555)).connect(self.house.admission.new_named_client(reader))

    @property
    def server(self) -> FakeTcp:
        """The origin server's last connection."""
        return self.tunnel.upstream.connections[-1]

    @property
    def rejections(self) -> list[tuple[str, str]]:
        events = of_type(self.house.events, ClientRejected)
        return [(event.peer, event.reason) for event in events]


KINDS = [(TlsNameReader, hello(b"www.test")), (HttpNameReader, request("www.test"))]


@pytest.mark.parametrize(("kind", "first"), KINDS)
@virtual_time
async def test_the_bytes_that_were_read_come_first_and_unchanged(kind, first):
    shared = await Shared().up()
    client = shared.client(kind)
    for byte in first:
        client.send(bytes([byte]))
        await seconds(0.001)
    await settle()
    client.send(b"more")
    await settle()
    assert shared.server.written == first + b"more"
    (accepted,) = of_type(shared.house.events, ClientAccepted)
    assert accepted.service == "www"


@pytest.mark.parametrize(("kind", "first"), KINDS)
@virtual_time
async def test_nothing_more_is_read_while_the_client_waits(kind, first):
    shared = Shared()
    client = shared.client(kind)
    client.send(first + b"beh")
    await seconds(9)
    assert not client.is_reading()
    await shared.up()
    await settle()
    assert shared.server.written == first + b"beh"


@pytest.mark.parametrize(("kind", "first"), KINDS)
@virtual_time
async def test_a_name_that_does_not_come_in_time_ends_the_client(kind, first):
    shared = await Shared().up()
    half, idle = shared.client(kind), shared.client(kind)
    for byte in first[:20]:  # drop by drop gains no time
        half.send(bytes([byte]))
        await seconds((NAME_TIMEOUT - 0.1) / 20)
    assert not half.is_over
    await seconds(0.2)
    assert idle.was_reset
    assert half.was_reset == (kind is TlsNameReader)
    if kind is HttpNameReader:
        assert half.written.startswith(b"HTTP/1.1 408 Request Timeout")
    reason = {
        TlsNameReader: "no ClientHello in time",
        HttpNameReader: "no complete HTTP request head in time",
    }[kind]
    assert shared.rejections == [("192.0.2.7:5555", reason)] * 2
    await seconds(TIME_LIMIT)
    assert shared.house.admission.pending == 0


@virtual_time
async def test_an_unknown_server_name_gets_an_alert_and_a_fin():
    shared = await Shared().up()
    client = shared.client(TlsNameReader)
    client.send(hello(b"other.test"))
    assert (client.written, client.eof_written) == (unrecognized_name_alert(), True)
    await settle()
    assert not client.is_over
    client.send(b"its own alert")
    client.send_eof()
    await settle()
    assert (client.was_closed, client.was_reset) == (True, False)
    assert shared.rejections == [("192.0.2.7:5555", "no service has the host name other.test")]
    assert shared.house.admission.pending == 0


@virtual_time
async def test_a_hello_without_a_name_gets_the_same_alert():
    shared = await Shared().up()
    client = shared.client(TlsNameReader)
    client.send(records(client_hello()))
    assert client.written == unrecognized_name_alert()
    assert "names no host" in shared.rejections[0][1]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\n", b""),
        (records(client_hello([server_name(b"a b")])), b"\x15\x03\x03\x00\x02\x02\x2f"),
        (records(client_hello([bytes(MAX_CLIENT_HELLO)])), b"\x15\x03\x03\x00\x02\x02\x2f"),
    ],
)
@virtual_time
async def test_a_malformed_hello_gets_an_alert_or_a_reset(sent, answer):
    shared = await Shared().up()
    client = shared.client(TlsNameReader)
    client.send(sent)
    await settle()
    assert client.written == answer
    assert client.was_reset == (answer == b"")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("other.test"), b"404 Not Found"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"505 HTTP Version Not Supported"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000, b"431 Request Header Fields Too Large"),
    ],
)
@virtual_time
async def test_a_request_that_leads_nowhere_gets_one_line(sent, status):
    shared = await Shared().up()
    client = shared.client(HttpNameReader)
    client.send(sent)
    head, _, body = client.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in head
    assert body.count(b"\n") == 1
    assert client.eof_written
    client.send(bytes(100_000))
    client.send_eof()
    await settle()
    assert (client.was_closed, client.was_reset) == (True, False)
    assert len(shared.rejections) == 1


@virtual_time
async def test_a_client_that_does_not_close_is_closed():
    shared = await Shared().up()
    client = shared.client(HttpNameReader)
    client.send(request("other.test"))
    await seconds(TIME_LIMIT - 0.1)
    assert (client.is_over, shared.house.admission.pending) == (False, 1)
    await seconds(0.2)
    assert (client.was_closed, client.was_reset) == (True, False)
    assert shared.house.admission.pending == 0


@virtual_time
async def test_a_client_that_sends_on_and_on_is_reset():
    shared = await Shared().up()
    client = shared.client(HttpNameReader)
    client.send(request("other.test"))
    client.send(bytes(DROP_LIMIT))
    assert not client.was_reset
    client.send(b"x")
    await settle()
    assert client.was_reset
    assert shared.house.admission.pending == 0


@virtual_time
async def test_an_answer_that_cannot_be_written_ends_in_a_reset(monkeypatch):
    shared = await Shared().up()
    client = shared.client(HttpNameReader)
    monkeypatch.setattr(client, "get_write_buffer_size", lambda: 10)
    client.send(request("other.test"))
    await seconds(TIME_LIMIT + 0.1)
    assert client.was_reset


@pytest.mark.parametrize(
    ("method", "has_body"),
    [("GET", True), ("HEAD", False)],
)
@virtual_time
async def test_an_http_client_without_an_origin_gets_503(method, has_body):
    shared = Shared(client_wait=10.0)
    client = shared.client(HttpNameReader)
    client.send(request("www.test", method))
    await seconds(9.9)
    assert client.written == b""
    await seconds(0.2)
    head, _, body = client.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable")
    assert bool(body) == has_body
    (closed,) = of_type(shared.house.events, ClientClosed)
    assert (closed.ending, closed.reason) == admission.NO_ORIGIN
    await shared.up()  # too late
    assert shared.tunnel.upstream.connections == []
    await seconds(TIME_LIMIT)
    assert shared.house.admission.pending == 0


@virtual_time
async def test_a_tls_client_without_an_origin_is_reset():
    shared = Shared(client_wait=10.0)
    client = shared.client(TlsNameReader)
    client.send(hello(b"www.test"))
    await seconds(10.1)
    assert (client.was_reset, client.written) == (True, b"")


@pytest.mark.parametrize(("kind", "first"), KINDS)
@virtual_time
async def test_a_policy_resets_without_an_answer(kind, first):
    policy = Policy(deny=NetworkSet([ip_network("192.0.2.0/24")]))
    shared = await Shared(policies={"*.test": policy}).up()
    client = shared.client(kind)
    client.send(first)
    await settle()
    assert (client.was_reset, client.written) == (True, b"")
    assert shared.rejections == [
        ("192.0.2.7:5555", "the policy of host *.test does not allow the address")
    ]
    other = shared.client(kind, host="198.51.100.7")
    other.send(first)
    await settle()
    assert shared.server.written == first


@pytest.mark.parametrize("kind", [TlsNameReader, HttpNameReader])
@virtual_time
async def test_a_wildcard_does_not_avoid_the_policy_of_a_name(kind):
    policies = {"www.test": Policy(max_clients=1), "*.test": Policy(max_clients=2)}
    shared = await Shared(policies=policies).up()
    shared.route.host = "*"
    shared.names = {"www.test", "a.test", "b.test", "other", None}
    asked = ["www.test", "www.test", "a.test", "b.test", "a.test", "other", "other"]
    clients = [shared.client(kind) for _ in asked]
    for client, name in zip(clients, asked, strict=True):
        client.send(request(name) if kind is HttpNameReader else hello(name.encode()))
    await settle()
    reset = [client.was_reset for client in clients]
    assert reset == [False, True, False, False, True, False, False]


@pytest.mark.parametrize(("place", "is_accepted"), [("*", False), ("www.test", True)])
@virtual_time
async def test_a_client_that_names_no_host_has_the_policy_of_the_fallback(place, is_accepted):
    deny = Policy(deny=NetworkSet([ip_network("192.0.2.0/24")]))
    shared = await Shared(policies={place: deny}).up()
    shared.route.host = "*"
    shared.names = {None}
    client = shared.client(TlsNameReader)
    client.send(records(client_hello()))
    await settle()
    assert client.was_reset != is_accepted


@virtual_time
async def test_at_a_unix_socket_the_policy_of_its_own_name_counts():
    policies = {"*.test": Policy(max_clients=1), "www.test": Policy(max_clients=2)}
    shared = await Shared(policies=policies).up()
    reset = []
    for host in ("*.test", "*.test", "www.test"):
        shared.route.host = host
        proxy = FakeTcp(None).connect(shared.house.admission.new_local_proxy(shared.route))
        proxy.send(V1 + request("www.test"))
        await settle()
        reset.append(proxy.was_reset)
    assert reset == [False, True, False]


@pytest.mark.parametrize(("kind", "first"), KINDS)
@pytest.mark.parametrize("is_split", [False, True])
@virtual_time
async def test_the_name_follows_the_header_of_a_proxy(kind, first, is_split):
    shared = await Shared().up()
    shared.house.admission.apply(client_wait=10.0, proxies=[ip_network("192.0.2.7")], policies={})
    client = shared.client(kind)
    for piece in (V1, first) if is_split else (V1 + first,):
        client.send(piece)
        await settle()
    assert shared.server.written == first
    (accepted,) = of_type(shared.house.events, ClientAccepted)
    assert accepted.client == "203.0.113.9:40000"


@virtual_time
async def test_behind_a_proxy_a_rejected_client_is_reported_by_its_own_address():
    shared = await Shared().up()
    shared.house.admission.apply(client_wait=10.0, proxies=[ip_network("192.0.2.7")], policies={})
    client = shared.client(TlsNameReader)
    client.send(V1 + hello(b"other.test"))
    await settle()
    assert client.written == unrecognized_name_alert()
    assert shared.rejections[0][0] == "203.0.113.9:40000"


@virtual_time
async def test_half_sent_names_and_last_answers_count_as_waiting(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 2)
    shared = await Shared().up()
    half, answered = shared.client(TlsNameReader), shared.client(HttpNameReader)
    half.send(hello(b"www.test")[:100])
    answered.send(request("other.test"))
    assert shared.house.admission.pending == 2
    shared.client(TlsNameReader)
    assert shared.house.admission.pending == 2
    await settle()
    assert len(of_type(shared.house.events, ClientLimitReached)) == 1
    await seconds(NAME_TIMEOUT + TIME_LIMIT)
    assert shared.house.admission.pending == 0
    shared.client(TlsNameReader).send(hello(b"www.test"))
    await settle()
    assert shared.server.written == hello(b"www.test")


@pytest.mark.parametrize("limit", ["waiting", "clients"])
@virtual_time
async def test_when_there_is_no_room_the_oldest_client_without_a_name_makes_it(monkeypatch, limit):
    shared = await Shared().up()
    if limit == "waiting":
        monkeypatch.setattr(admission, "MAX_WAITING", 3)
    else:
        shared.house.admission._max_clients = 3
    answered = shared.client(HttpNameReader, host="198.51.100.1")
    answered.send(request("other.test"))
    silent = [shared.client(TlsNameReader, host=f"198.51.100.{number}") for number in (2, 3)]
    for round_ in range(2):
        client = shared.client(TlsNameReader)
        assert shared.house.admission.pending == 3 - (round_ if limit == "clients" else 0)
        client.send(hello(b"www.test"))
        await settle()
        assert shared.server.written == hello(b"www.test")
        if round_ == 0 and limit == "waiting":  # a forwarded client does not wait
            shared.client(TlsNameReader, host="198.51.100.4")
    assert [client.was_reset for client in (answered, *silent)] == [True, True, False]
    assert shared.rejections[1:] == [("198.51.100.2:5555", admission.NO_ROOM.reason)]


@virtual_time
async def test_without_room_clients_that_wait_for_their_origin_stay(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 2)
    shared = Shared()
    waiting = [shared.client(TlsNameReader) for _ in range(2)]
    for client in waiting:
        client.send(hello(b"www.test"))
    assert shared.client(TlsNameReader).was_reset
    await settle()
    assert not any(client.is_over for client in waiting)


@virtual_time
async def test_an_address_has_a_limited_number_of_clients_without_a_name():
    shared = await Shared().up()
    other = shared.client(TlsNameReader, host="198.51.100.7")
    # Those that have a name, or have left, do not count.
    shared.client(TlsNameReader).send(hello(b"www.test"))
    shared.client(TlsNameReader).fail(ConnectionResetError())
    clients = [shared.client(HttpNameReader) for _ in range(MAX_UNNAMED_PER_SOURCE)]
    clients[0].send(request("other.test"))  # its last answer counts
    assert not any(client.was_reset for client in clients)
    clients += [shared.client(TlsNameReader) for _ in range(2)]
    await settle()
    reset = [client.was_reset for client in (other, *clients)]
    assert reset == [False, True, True] + [False] * MAX_UNNAMED_PER_SOURCE
    assert shared.house.admission.pending == 1 + MAX_UNNAMED_PER_SOURCE
    assert shared.rejections[-1] == ("192.0.2.7:5555", admission.TOO_MANY_UNNAMED.reason)


@virtual_time
async def test_behind_a_proxy_the_clients_without_a_name_are_counted_by_their_own_address():
    shared = await Shared().up()
    shared.house.admission.apply(client_wait=10.0, proxies=[ip_network("192.0.2.7")], policies={})
    number = MAX_UNNAMED_PER_SOURCE + 1
    silent, checks, clients = ([shared.client(TlsNameReader) for _ in range(number)] for _ in "123")
    for check, client in zip(checks, clients, strict=True):
        check.send(b"PROXY UNKNOWN\r\n")
        client.send(V1)
    await settle()
    reset = [[each.was_reset for each in group].count(True) for group in (silent, checks, clients)]
    assert reset == [0, 0, 1]


@virtual_time
async def test_a_remote_that_stops_resets_all_of_them():
    shared = Shared()
    clients = [shared.client(HttpNameReader) for _ in range(3)]
    clients[0].send(b"GET")
    clients[1].send(request("www.test"))
    clients[2].send(request("other.test"))
    shared.house.admission.close("the remote was stopped")
    await settle()
    assert all(client.was_reset for client in clients)
    assert shared.house.admission.pending == 0


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
@virtual_time
async def test_a_client_that_leaves_before_its_name_is_known_is_forgotten(sent):
    shared = await Shared().up()
    ended, failed = shared.client(HttpNameReader), shared.client(HttpNameReader)
    if sent:
        ended.send(sent)
    ended.send_eof()
    failed.fail(ConnectionResetError(104, "connection reset by peer"))
    await settle()
    assert ended.was_reset
    assert shared.house.admission.pending == 0
