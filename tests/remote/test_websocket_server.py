"""The remote's WebSocket: whom it serves, within which limits, and how connections end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys

import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from quictunnel.config.addresses import HostPort, parse_network
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.networks import NO_NETWORKS, NetworkSet
from quictunnel.errors import SettingsError
from quictunnel.events import DropKind
from quictunnel.quic.limits import PROVEN_SOURCE_FACTOR, SOURCE_UNPROVEN_LINKS
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.remote import websocket_connection, websocket_server
from quictunnel.remote.websocket_server import WebSocketServer
from testkit.certificates import write_certificate

PATIENCE = 10.0
LOOPBACK = NetworkSet([parse_network("127.0.0.0/8")])


class Links:
    """A listener of links that keeps the paths it is given."""

    def __init__(self) -> None:
        self.paths = []
        self.ended = []
        self.refused = set()
        self.proven_sources = ProvenSources()

    def accepts_host(self, host):
        return host not in self.refused

    def attach_path(self, path, peer, *, on_proven, on_closed):
        path.handler = Handler(on_closed)
        self.paths.append((path, peer, on_proven))

        def close(reason):
            path.close()
            self.ended.append(reason)
            on_closed(reason)

        return close


class Handler:
    """Takes datagrams of a path."""

    def __init__(self, on_closed) -> None:
        self.received = []
        self.path_closed = on_closed

    def datagrams_received(self, datagrams):
        self.received += datagrams


class WebSocketClient:
    """A client that opens a WebSocket, or something else."""

    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    async def request(self, path="/quictunnel", *fields):
        protocol = ClientProtocol(parse_uri(f"ws://localhost{path}"))
        head = protocol.connect().serialize()
        head = head[:-2] + b"".join(f"{field}\r\n".encode() for field in fields) + b"\r\n"
        self.writer.write(head)
        return await self.status()

    async def status(self):
        line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
        return int(line.split()[1]) if line else None

    async def is_closed(self):
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), PATIENCE)
        return True


class Served:
    """A server, and what it has reported."""

    def __init__(self, server, links, events) -> None:
        self.server, self.links, self.events = server, links, events
        self.port = int(server.url.rpartition(":")[2].partition("/")[0])
        self.clients = []

    async def connect(self, **tls):
        streams = await asyncio.open_connection("127.0.0.1", self.port, **tls)
        self.clients.append(WebSocketClient(*streams))
        return self.clients[-1]

    async def refuses(self):
        """Return whether a new connection is closed, perhaps while it is made."""
        try:
            return await (await self.connect()).is_closed()
        except ConnectionResetError:
            return True


@contextlib.asynccontextmanager
async def serving(folder, listen="127.0.0.1", proxies=NO_NETWORKS):
    file = write_certificate("localhost", folder)
    events = []
    server = WebSocketServer(
        HostPort(listen, 0),
        "/quictunnel",
        CertificateFiles(file, file),
        proxies=proxies,
        emit=events.append,
    )
    links = Links()
    await server.bind()
    server.serve(links)
    served = Served(server, links, events)
    try:
        yield served
    finally:
        server.close()
        for path, _, _ in links.paths:
            path.close()
        for client in served.clients:
            client.writer.close()
        await asyncio.sleep(0.05)


async def until(is_true):
    async with asyncio.timeout(PATIENCE):
        while not is_true():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def test_a_websocket_becomes_a_path_of_the_listener(tmp_path):
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        await until(lambda: served.links.paths)
        client.writer.write(b"\x82\x81keys" + bytes([ord("x") ^ ord("k")]))
        await until(lambda: served.links.paths[0][0].handler.received == [b"x"])
        assert served.links.paths[0][1].host == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/other", "/quictunnel/more"])
async def test_other_paths_are_not_found(tmp_path, path):
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request(path) == 404
        assert await client.is_closed()
        assert not served.links.paths


async def test_other_requests_are_not_found(tmp_path):
    async with serving(tmp_path) as served:
        for sent in (
            b"POST /quictunnel HTTP/1.1\r\n\r\n",
            b"GET /quictunnel HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /" + b"a" * 20_000,
            b"\x16\x03\x01\x00\x05hello",
        ):
            client = await served.connect()
            client.writer.write(sent)
            assert await client.status() == 404
            assert await client.is_closed()


async def test_a_refused_client_that_does_not_end_tls_is_closed(tmp_path):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def refused(port):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as tcp:
            with context.wrap_socket(tcp, do_handshake_on_connect=True) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                silent = socket.socket(fileno=tls.detach())
            with silent:
                silent.settimeout(PATIENCE)
                while silent.recv(65536):
                    pass

    async with serving(tmp_path, listen="::") as served:
        await asyncio.to_thread(refused, served.port)
        await until(lambda: not served.server._connections)


async def test_tls_is_used_on_addresses_of_the_network(tmp_path):
    async with serving(tmp_path, listen="::") as served:
        assert served.server.url.startswith("wss://[::]:")
        context = ssl.create_default_context(cafile=tmp_path / "localhost.pem")
        client = await served.connect(ssl=context, server_hostname="localhost")
        assert await client.request() == 101
        plain = await served.connect()
        plain.writer.write(b"GET /quictunnel HTTP/1.1\r\n\r\n")
        assert await plain.is_closed()


async def test_a_renewed_certificate_is_used_for_new_connections(tmp_path):
    async with serving(tmp_path, listen="::") as served:
        old = (tmp_path / "localhost.pem").read_bytes()
        file = write_certificate("localhost", tmp_path)
        served.server.use_certificate(CertificateFiles(file, file))
        context = ssl.create_default_context(cafile=file)
        client = await served.connect(ssl=context, server_hostname="localhost")
        assert await client.request() == 101
        assert file.read_bytes() != old


async def test_a_certificate_that_tls_cannot_use_changes_nothing(tmp_path):
    async with serving(tmp_path, listen="::") as served:
        file = tmp_path / "localhost.pem"
        files = CertificateFiles(file, file)
        valid = file.read_bytes()
        file.write_text("nothing")
        with pytest.raises(SettingsError, match="cannot be used for --websocket"):
            served.server.use_certificate(files)
        file.write_bytes(valid)
        context = ssl.create_default_context(cafile=file)
        client = await served.connect(ssl=context, server_hostname="localhost")
        assert await client.request() == 101


async def test_a_source_has_few_connections_without_a_proof(tmp_path):
    async with serving(tmp_path) as served:
        clients = [await served.connect() for _ in range(SOURCE_UNPROVEN_LINKS)]
        assert [await client.request() for client in clients] == [101] * SOURCE_UNPROVEN_LINKS
        assert await served.refuses()
        assert served.events[-1].kind is DropKind.UNPROVEN_LINKS
        served.links.paths[0][2]()  # a link has proven itself, which frees a place
        assert await (await served.connect()).request() == 101


@pytest.mark.parametrize("listen", ["127.0.0.1", "::"])
async def test_a_source_that_connects_again_and_again_is_refused(tmp_path, monkeypatch, listen):
    monkeypatch.setattr("quictunnel.quic.source_handshakes.SOURCE_HANDSHAKE_BURST", 3)
    monkeypatch.setattr("quictunnel.quic.source_handshakes.SOURCE_HANDSHAKES_PER_SECOND", 0)
    async with serving(tmp_path, listen=listen) as served:
        for _ in range(3):
            client = await served.connect()
            client.writer.close()
            await until(lambda: not served.server._connections)
        assert await served.refuses()
        assert served.events[-1].kind is DropKind.HANDSHAKES


async def test_a_connection_that_leads_to_a_proof_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr("quictunnel.quic.source_handshakes.SOURCE_HANDSHAKE_BURST", 1)
    monkeypatch.setattr("quictunnel.quic.source_handshakes.SOURCE_HANDSHAKES_PER_SECOND", 0)
    monkeypatch.setattr("quictunnel.quic.handshake_limits.PROVEN_SOURCE_FACTOR", 1)
    async with serving(tmp_path) as served:
        for number in range(3):
            assert await (await served.connect()).request() == 101
            served.links.paths[number][2]()


async def test_a_flood_leaves_handshakes_to_known_sources(tmp_path, monkeypatch):
    monkeypatch.setattr("quictunnel.quic.handshake_limits.HANDSHAKE_BURST", 4)
    monkeypatch.setattr("quictunnel.quic.handshake_limits.HANDSHAKES_PER_SECOND", 0)
    async with serving(tmp_path, proxies=LOOPBACK) as served:

        async def status(host):
            client = await served.connect()
            return await client.request("/quictunnel", f"X-Forwarded-For: {host}")

        flood = [await status(f"192.0.2.{number}") for number in range(4)]
        assert flood == [101, 101, 101, 404]
        served.links.proven_sources.link_proven("203.0.113.7")
        assert await status("203.0.113.7") == 101


async def test_a_source_that_is_known_from_udp_has_more_connections(tmp_path):
    async with serving(tmp_path) as served:
        served.links.proven_sources.link_proven("127.0.0.1")
        for _ in range(SOURCE_UNPROVEN_LINKS * PROVEN_SOURCE_FACTOR):
            assert await (await served.connect()).request() == 101
        assert await served.refuses()


async def test_the_source_of_a_proven_link_is_known_everywhere(tmp_path):
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        path, _, on_proven = served.links.paths[0]
        on_proven()
        path.close()
        path.handler.path_closed("the end")
        assert not served.links.proven_sources._linked
        assert served.links.proven_sources.has("127.0.0.1", asyncio.get_running_loop().time())


async def test_connections_with_proven_links_are_limited_in_total(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_server, "MAX_CONNECTIONS", 2)
    async with serving(tmp_path) as served:
        for number in range(2):
            assert await (await served.connect()).request() == 101
            served.links.paths[number][2]()
        assert await served.refuses()
        assert served.events[-1].kind is DropKind.LINKS
        path, _, _ = served.links.paths[0]
        path.close()
        path.handler.path_closed("the end")
        assert await (await served.connect()).request() == 101


async def test_the_oldest_connection_without_a_proof_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr("quictunnel.quic.unproven_places.HANDSHAKE_PATIENCE", 0.0)
    async with serving(tmp_path) as served:
        clients = [await served.connect() for _ in range(SOURCE_UNPROVEN_LINKS)]
        for client in clients:
            await client.request()
        assert await (await served.connect()).request() == 101
        assert await clients[0].is_closed()
        assert [event.kind for event in served.events] == [DropKind.DISPLACED]


@pytest.mark.parametrize("listen", ["127.0.0.1", "::"])
async def test_a_silent_connection_is_closed(tmp_path, monkeypatch, listen):
    monkeypatch.setattr(websocket_connection, "OPENING_TIMEOUT", 0.1)
    async with serving(tmp_path, listen=listen) as served:
        assert await (await served.connect()).is_closed()
        await until(lambda: served.events)
        assert served.events[-1].kind is DropKind.TIMEOUT


async def test_a_websocket_without_a_proven_link_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_connection, "PROOF_TIMEOUT", 0.1)
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        assert await client.is_closed()
        assert served.events[-1].reason == websocket_connection.NOT_PROVEN
        assert served.links.ended == [websocket_connection.UNPROVEN]


async def test_a_websocket_with_a_proven_link_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_connection, "PROOF_TIMEOUT", 0.1)
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        await until(lambda: served.links.paths)
        path, _, on_proven = served.links.paths[0]
        on_proven()
        await asyncio.sleep(0.3)
        served.server.close()  # it ends with the listener of links
        path.send([b"still open"])
        async with asyncio.timeout(PATIENCE):
            await client.reader.readuntil(b"\r\n\r\n")
            assert await client.reader.readexactly(12) == b"\x82\x0astill open"
        assert not served.events


async def test_a_connection_without_a_proof_sends_few_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_connection, "UNPROVEN_BYTES", 18)
    empty = b"\x82\x80keys"
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        client.writer.write(empty * 3)
        await asyncio.sleep(0.05)
        assert not served.events
        client.writer.write(empty)
        assert await client.is_closed()
        assert served.events[-1].kind is DropKind.TOO_MUCH


async def test_a_connection_with_a_proof_sends_any_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_connection, "UNPROVEN_BYTES", 18)
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request() == 101
        path, _, on_proven = served.links.paths[0]
        on_proven()
        client.writer.write((b"\x82\x81keys" + bytes([ord("x") ^ ord("k")])) * 9)
        await until(lambda: path.handler.received == [b"x"] * 9)


async def test_networks_that_are_not_accepted_are_not_served(tmp_path):
    async with serving(tmp_path) as served:
        served.links.refused.add("127.0.0.1")
        assert await served.refuses()


async def test_a_trusted_proxy_names_the_peer(tmp_path):
    async with serving(tmp_path, proxies=LOOPBACK) as served:
        client = await served.connect()
        assert await client.request("/quictunnel", "X-Forwarded-For: 192.0.2.1, 192.0.2.9") == 101
        await until(lambda: served.links.paths)
        assert served.links.paths[0][1].host == "192.0.2.9"
        served.links.refused.add("192.0.2.9")
        other = await served.connect()
        assert await other.request("/quictunnel", "X-Forwarded-For: 192.0.2.9") == 404


async def test_peers_of_one_host_behind_a_proxy_differ_in_their_ports(tmp_path):
    async with serving(tmp_path, proxies=LOOPBACK) as served:
        for _ in range(2):
            client = await served.connect()
            assert await client.request("/quictunnel", "X-Forwarded-For: 192.0.2.9") == 101
        await until(lambda: len(served.links.paths) == 2)
        (_, one, _), (_, other, _) = served.links.paths
        assert one.host == other.host
        assert one.port != other.port


async def test_peers_behind_a_proxy_have_limits_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket_server, "MAX_OPENING_BEHIND_PROXIES", 2)
    async with serving(tmp_path, proxies=LOOPBACK) as served:
        for number in range(SOURCE_UNPROVEN_LINKS + 2):
            client = await served.connect()
            field = f"X-Forwarded-For: 192.0.2.{number}"
            assert await client.request("/quictunnel", field) == 101
        for _ in range(2):
            await served.connect()
        assert await served.refuses()
        assert served.events[-1].kind is DropKind.QUEUE


async def test_an_address_without_a_trusted_proxy_is_not_believed(tmp_path):
    async with serving(tmp_path) as served:
        client = await served.connect()
        assert await client.request("/quictunnel", "X-Forwarded-For: 192.0.2.9") == 101
        await until(lambda: served.links.paths)
        assert served.links.paths[0][1].host == "127.0.0.1"


async def test_an_internal_error_ends_one_connection_and_is_reported(tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError("a bug")

    async with serving(tmp_path) as served:
        with monkeypatch.context() as patched:
            patched.setattr(websocket_connection, "prepare_connection", fail)
            assert await served.refuses()
        assert [str(event.exception) for event in served.events] == ["a bug"]
        assert await (await served.connect()).request() == 101


async def test_closing_ends_connections_that_have_not_opened(tmp_path):
    async with serving(tmp_path) as served:
        silent = await served.connect()
        await until(lambda: served.server._connections)
        served.server.close()
        assert await silent.is_closed()


async def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    async with serving(tmp_path) as served:
        file = tmp_path / "localhost.pem"
        other = WebSocketServer(
            HostPort("127.0.0.1", served.port),
            "/quictunnel",
            CertificateFiles(file, file),
            emit=served.events.append,
        )
        with pytest.raises(SettingsError, match="--websocket"):
            await other.bind()
        other.close()


def test_a_role_without_a_websocket_does_not_load_the_library():
    code = "import sys, quictunnel.cli.main; print('websockets' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
