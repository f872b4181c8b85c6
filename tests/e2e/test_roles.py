"""A remote and an origin in one process, over loopback, with real sockets on every side."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from patience import patience
from udp_forwarder import Forwarder

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.selfsigned import key_pem, make_key, make_self_signed
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import Refused, SettingsError
from quictunnel.link import link, liveness
from quictunnel.origin import keeping
from quictunnel.origin.role import Origin
from quictunnel.protocol.codes import Code
from quictunnel.remote import session as remote_session
from quictunnel.remote.role import Remote

LOOPBACK = "127.0.0.1"


class Peer:
    """One end of a TCP connection, in the test's hands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def hear_all(self) -> bytes:
        return await self.reader.read()

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def is_reset(self) -> bool:
        try:
            await self.reader.read()
        except ConnectionResetError:
            return True
        return False


class Town:
    """An origin server, and what is started between it and its clients."""

    def __init__(self, tmp_path, engines) -> None:
        self.engines = engines
        self.token = Token.new()
        self.certificates = CertificateFiles(*load_or_make_certificate(tmp_path))
        self.remote_settings = RemoteSettings(
            listen=HostPort(LOOPBACK, 0),
            outside=HostPort(LOOPBACK, 0),
            state_dir=tmp_path,
            grace=5.0,
            engine=engines[1],
        )
        self.served: asyncio.Queue[Peer] = asyncio.Queue()
        self.ready: asyncio.Queue[tuple] = asyncio.Queue()
        self.server: asyncio.Server
        self.remote: Remote
        self._peers: list[Peer] = []
        self._roles: list[Remote | Origin] = []

    async def start(self) -> Town:
        self.server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.remote = await self.a_remote()
        return self

    async def a_remote(self, **settings) -> Remote:
        remote = Remote(replace(self.remote_settings, **settings), (self.token,), self.certificates)
        self._roles.append(remote)
        await remote.start()
        return remote

    async def an_origin(self, *, port: int | None = None, **settings) -> Origin:
        origin = Origin(
            OriginSettings(
                **{
                    "remote": HostPort(LOOPBACK, port or self.remote.link_address.port),
                    "origin": HostPort(LOOPBACK, self.server.sockets[0].getsockname()[1]),
                    "token": self.token,
                    "name": "box",
                    "grace": 5.0,
                    "engine": self.engines[0],
                    **settings,
                }
            ),
            on_ready=self.ready.put_nowait,
        )
        self._roles.append(origin)
        await origin.start()
        return origin

    async def up(self, **settings) -> Origin:
        origin = await self.an_origin(**settings)
        await self.ready.get()
        return origin

    async def a_client(self) -> Peer:
        client = Peer(*await asyncio.open_connection(LOOPBACK, self.remote.outside_address.port))
        self._peers.append(client)
        return client

    async def a_pair(self) -> tuple[Peer, Peer]:
        """A client, and its connection as the origin server has it."""
        return await self.a_client(), await self.served.get()

    async def end(self) -> None:
        for peer in self._peers:
            peer.writer.transport.abort()
        self.server.close()
        for role in self._roles:
            role.abort()
            with contextlib.suppress(Refused, SettingsError):
                await role.wait_closed()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self.served.put_nowait(peer)


@pytest.fixture
async def town(tmp_path, engines):
    town = await Town(tmp_path, engines).start()
    with patience():
        yield town
    with patience():
        await town.end()


@pytest.fixture
def quick_to_notice(monkeypatch):
    """Silence is noticed within a second and not within ten."""
    monkeypatch.setattr(link, "PING_AFTER", 0.3)
    monkeypatch.setattr(link, "ACCEPTOR_PATIENCE", 0.1)
    monkeypatch.setattr(liveness, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(keeping, "BESIDE_AFTER", 0.3)
    monkeypatch.setattr(keeping, "CHANCE", 0.3)


@pytest.fixture
async def network(town):
    """What lies between an origin and the remote."""
    network = await Forwarder.start(town.remote.link_address.port)
    yield network
    network.close()


@pytest.fixture
def remote_says_that():
    """Waits until the remote has logged a fact."""
    logger = logging.getLogger("quictunnel.remote")
    said: asyncio.Queue[str] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: said.put_nowait(record.getMessage())
    logger.addHandler(handler)

    async def wait(message: str) -> None:
        while await said.get() != message:
            pass

    yield wait
    logger.removeHandler(handler)


# Clients


async def test_a_question_and_its_answer(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"question")
    assert await server.hear(8) == b"question"
    await server.say(b"answer")
    assert await client.hear(6) == b"answer"


async def test_the_first_word_may_be_the_servers(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"220 ready")
    assert await client.hear(9) == b"220 ready"


async def test_a_client_that_ends_still_gets_its_answer(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"x")
    client.end()
    assert await server.hear_all() == b"x"
    await server.say(b"answer")
    server.end()
    assert await client.hear_all() == b"answer"


async def test_a_server_that_ends_still_gets_the_rest(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"greeting")
    server.end()
    assert await client.hear_all() == b"greeting"
    await client.say(b"the rest")
    client.end()
    assert await server.hear_all() == b"the rest"


async def test_a_clients_reset_is_a_reset_at_the_server(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"x")
    await server.hear(1)
    client.reset()
    assert await server.is_reset()


async def test_a_servers_reset_is_a_reset_at_the_client(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"half of it")
    assert await client.hear(10) == b"half of it"
    server.reset()
    assert await client.is_reset()


async def test_a_server_that_is_not_there_is_a_reset_at_the_client(town):
    with socket.socket() as nobody:
        nobody.bind((LOOPBACK, 0))
        await town.up(origin=HostPort(LOOPBACK, nobody.getsockname()[1]))
        client = await town.a_client()
        assert await client.is_reset()


async def test_many_clients_at_once_get_each_its_own(town):
    await town.up()

    async def echo() -> None:
        while True:
            server = await town.served.get()
            question = await server.hear(32)
            await server.say(question * 1000)
            server.end()

    async def ask(number: int) -> None:
        client = await town.a_client()
        question = hashlib.sha256(bytes([number])).digest()
        await client.say(question)
        assert await client.hear_all() == question * 1000

    echoing = asyncio.create_task(echo())
    async with asyncio.TaskGroup() as clients:
        for number in range(50):
            clients.create_task(ask(number))
    echoing.cancel()


async def test_a_client_waits_for_its_origin(town):
    client = await town.a_client()
    await client.say(b"early")
    await town.up()
    server = await town.served.get()
    assert await server.hear(5) == b"early"


async def test_a_client_does_not_wait_for_ever(town):
    town.remote = await town.a_remote(client_wait=0.1)
    client = await town.a_client()
    assert await client.is_reset()


async def test_the_server_learns_who_the_client_is(town):
    await town.up(proxy_protocol="v1")
    client, server = await town.a_pair()
    port = client.writer.get_extra_info("sockname")[1]
    outside = town.remote.outside_address.port
    await client.say(b"x")
    client.end()
    assert await server.hear_all() == (
        f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {outside}\r\nx".encode()
    )


# Trust


async def refused(origin: Origin) -> Refused:
    with pytest.raises(Refused) as caught:
        await origin.wait_closed()
    return caught.value


@pytest.fixture
def no_delay(monkeypatch):
    monkeypatch.setattr(remote_session, "FAILURE_DELAY", 0)


@pytest.mark.usefixtures("no_delay")
async def test_a_wrong_secret_is_refused(town):
    origin = await town.an_origin(token=Token(town.token.id, "w" * 32))
    assert (await refused(origin)).code == Code.BAD_TOKEN


@pytest.mark.usefixtures("no_delay")
async def test_an_unknown_token_is_refused_with_the_same_words(town):
    wrong = await refused(await town.an_origin(token=Token(town.token.id, "w" * 32)))
    unknown = await refused(await town.an_origin(token=Token("nobody", "w" * 32)))
    assert (unknown.code, unknown.message) == (wrong.code, wrong.message)


@pytest.mark.usefixtures("no_delay")
async def test_without_a_token_even_a_pinned_remote_refuses(town):
    pin = town.certificates.current.fingerprint
    origin = await town.an_origin(token=None, pin=pin)
    assert (await refused(origin)).code == Code.NO_TOKEN


async def test_nothing_verified_and_no_token_is_refused_by_the_origin(town):
    origin = await town.an_origin(token=None)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_another_certificate_than_the_pinned_one_is_refused(town):
    origin = await town.an_origin(pin=bytes(32))
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_the_pinned_certificate_is_accepted(town):
    await town.up(pin=town.certificates.current.fingerprint)


async def test_a_remote_vouched_for_by_the_ca_file_is_accepted(town):
    await town.up(ca=town.certificates.cert, remote=HostPort("localhost", _port(town)))


async def test_the_ca_file_does_not_vouch_for_another_name(town, tmp_path):
    town.certificates = a_certificate_for("elsewhere.example", tmp_path)
    town.remote = await town.a_remote()
    origin = await town.an_origin(ca=town.certificates.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


async def test_another_ca_file_does_not_vouch_at_all(town, tmp_path):
    other = a_certificate_for("localhost", tmp_path)
    origin = await town.an_origin(ca=other.cert)
    assert (await refused(origin)).code == Code.BAD_CERTIFICATE


def a_certificate_for(name: str, directory: Path) -> CertificateFiles:
    cert, key = directory / "other.pem", directory / "other.key"
    private = make_key()
    key.write_bytes(key_pem(private))
    cert.write_bytes(make_self_signed([name], private).public_bytes(Encoding.PEM))
    return CertificateFiles(cert, key)


def _port(town: Town) -> int:
    return town.remote.link_address.port


# Links come and go


async def test_a_second_origin_of_the_same_name_takes_over(town):
    first = await town.up()
    client, _ = await town.a_pair()
    await town.up()
    refusal = await refused(first)
    assert refusal.code == Code.TAKEN_OVER
    assert await client.is_reset()
    client, server = await town.a_pair()
    await client.say(b"x")
    assert await server.hear(1) == b"x"


async def test_an_origin_of_another_name_does_not(town):
    await town.up()
    other = await town.an_origin(name="other")
    assert (await refused(other)).code == Code.SERVICE_TAKEN


async def test_a_remote_that_says_goodbye_and_comes_back_is_found_again(town):
    await town.up()
    client, _ = await town.a_pair()
    port = _port(town)
    town.remote.abort()
    await town.remote.wait_closed()
    assert await client.is_reset()
    town.remote = await town.a_remote(listen=HostPort(LOOPBACK, port))
    await town.ready.get()
    client, server = await town.a_pair()
    await client.say(b"x")
    assert await server.hear(1) == b"x"


@pytest.mark.usefixtures("quick_to_notice")
async def test_a_remote_that_died_without_a_word_is_found_again(town, network):
    await town.up(port=network.port)
    client, server = await town.a_pair()
    await client.say(b"x")
    await server.hear(1)
    town.remote = await town.a_remote()
    network.lead_to(_port(town))
    await town.ready.get()
    assert await server.is_reset()
    client, server = await town.a_pair()
    await client.say(b"y")
    assert await server.hear(1) == b"y"


@pytest.mark.usefixtures("quick_to_notice")
async def test_clients_live_through_a_dark_network(town, network, remote_says_that):
    await town.up(port=network.port)
    client, server = await town.a_pair()
    network.is_dark = True
    await server.say(b"said in the dark")
    await remote_says_that("link silent")
    waiting = await town.a_client()
    await waiting.say(b"come in the dark")
    network.is_dark = False
    assert await client.hear(16) == b"said in the dark"
    late = await town.served.get()
    assert await late.hear(16) == b"come in the dark"
    assert town.ready.empty()


# The end


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_a_drain_lets_present_clients_finish(town, which):
    roles = {"origin": await town.up(), "remote": town.remote}
    client, server = await town.a_pair()
    roles[which].drain()
    await client.say(b"last question")
    client.end()
    assert await server.hear_all() == b"last question"
    await server.say(b"last answer")
    server.end()
    assert await client.hear_all() == b"last answer"
    await roles[which].wait_closed()


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_a_drain_loses_nothing_of_a_slow_client(town, which):
    roles = {"origin": await town.up(), "remote": town.remote}
    client, server = await town.a_pair()
    answer = bytes(3_000_000)
    saying = asyncio.create_task(server.say(answer))
    await client.hear(1)
    roles[which].drain()
    await saying
    server.end()
    client.end()
    assert len(await client.hear_all()) == len(answer) - 1
    await roles[which].wait_closed()


async def test_a_drain_cuts_those_who_stay(town):
    town.remote = await town.a_remote(grace=0.2)
    await town.up()
    client, server = await town.a_pair()
    town.remote.drain()
    assert await client.is_reset()
    assert await server.is_reset()
    await town.remote.wait_closed()


async def test_nobody_new_comes_in_while_the_remote_drains(town):
    await town.up()
    _, _ = await town.a_pair()
    town.remote.drain()
    with pytest.raises(ConnectionRefusedError):
        await town.a_client()


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_an_abort_resets_clients_at_once(town, which):
    roles = {"origin": await town.up(), "remote": town.remote}
    client, server = await town.a_pair()
    roles[which].abort()
    assert await client.is_reset()
    assert await server.is_reset()
    await roles[which].wait_closed()


async def test_an_origin_that_left_makes_room_for_another(town):
    first = await town.up()
    first.drain()
    await first.wait_closed()
    await town.up(name="other")


# The start


async def test_addresses_that_are_taken_are_sentences(town):
    with pytest.raises(SettingsError, match=r"cannot listen on tcp .*another program"):
        await town.a_remote(outside=HostPort(LOOPBACK, town.remote.outside_address.port))
    with pytest.raises(SettingsError, match="cannot listen on udp"):
        await town.a_remote(listen=HostPort(LOOPBACK, _port(town)))


async def test_a_renewed_certificate_is_shown_to_those_who_come(town, monkeypatch, tmp_path):
    renewed = CertificateFiles(*load_or_make_certificate(tmp_path / "renewed"))
    monkeypatch.setattr("quictunnel.remote.role.CERTIFICATE_CHECK", 0.01)

    def reload() -> bool:
        town.certificates._current = renewed.current
        reloaded.set()
        return True

    reloaded = asyncio.Event()
    town.remote = await town.a_remote()
    monkeypatch.setattr(town.certificates, "reload_if_changed", reload)
    await reloaded.wait()
    await town.up(pin=renewed.current.fingerprint)
