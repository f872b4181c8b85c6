"""Links over loopback sockets: families, who is let in, who is refused, and how fast it is said."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from endpoints import TIMEOUT, Trusting, Wary, closed, dialled, echo, listening
from pair import Engines, Pair, server_tls
from probes import PROBES

from quictunnel.errors import LinkFailed, LinkLost, Refused, SettingsError
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.certificate_verification import fingerprint
from quictunnel.quic.listener import listen
from quictunnel.quic.path import udp
from quictunnel.quic.settings import ClientTls, LinkSettings, ServerTls

RESERVED = 0x0A0A0A0A
"""The pattern of reserved versions (RFC 9000, 15)."""

DATA = random.Random(1).randbytes(3_000_000)


@pytest.mark.parametrize(
    ("listen_on", "dial_to", "seen_as"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::", "127.0.0.1", "127.0.0.1"),
        ("::", "::1", "::1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_data_goes_there_and_back(
    listen_on: str, dial_to: str, seen_as: str, engines: Engines
) -> None:
    accepted = []

    def accept() -> Trusting:
        accepted.append(Trusting())
        return accepted[-1]

    async with listening(listen_on, protocol_factory=accept, engine=engines[1]) as listener:
        link = await dialled(listener.address.port, dial_to, engine=engines[0])
        assert await echo(link, DATA[:300_000]) == DATA[:300_000]
        assert link.peer == Address(dial_to, listener.address.port)
        their_link = await accepted[0].made
        assert their_link.peer == Address(seen_as, link.local.port)
        assert their_link.exporter == link.exporter
        await closed(link)


async def test_many_megabytes_and_many_streams(engines: Engines) -> None:
    async with listening(engine=engines[1]) as listener:
        link = await dialled(listener.address.port, engine=engines[0])
        backs = await asyncio.gather(*(echo(link, DATA[n:2_000_000]) for n in range(2)))
        assert [back == DATA[n:2_000_000] for n, back in enumerate(backs)] == [True, True]
        await closed(link)


async def test_several_links_at_once(engines: Engines) -> None:
    async with listening(engine=engines[1]) as listener:
        links = await asyncio.gather(
            *(dialled(listener.address.port, engine=engines[0]) for _ in range(8))
        )
        assert len({link.exporter for link in links}) == 8
        backs = await asyncio.gather(*(echo(link, DATA[:50_000]) for link in links))
        assert all(back == DATA[:50_000] for back in backs)
        for link in links:
            await closed(link)


async def test_closing_the_listener_tells_the_peers(engines: Engines) -> None:
    protocol = Trusting()
    async with listening(engine=engines[1]) as listener:
        link = await dialled(listener.address.port, protocol=protocol, engine=engines[0])
        await echo(link, b"hello")  # now the listener's end knows that the handshake is done
    async with asyncio.timeout(TIMEOUT):
        lost = await protocol.lost
    assert isinstance(lost, LinkLost)
    assert lost.code == Code.GOODBYE
    await asyncio.sleep(0)


async def test_a_port_in_use_is_the_users_affair(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        with pytest.raises(SettingsError, match=rf"udp 127.0.0.1:{listener.address.port}: "):
            await listen(
                "127.0.0.1",
                listener.address.port,
                protocol_factory=Trusting,
                server_tls=server_tls(),
                settings=LinkSettings(),
            )


# Refusals


async def test_another_protocol_is_refused(engines: Engines) -> None:
    async with listening(settings=LinkSettings(alpn="h3"), engine=engines[1]) as listener:
        with pytest.raises(Refused) as info:
            await dialled(listener.address.port, engine=engines[0])
    assert info.value.code == Code.BAD_VERSION
    await asyncio.sleep(0)


def pinned(pin: bytes) -> ClientTls:
    return ClientTls(server_name="localhost", verify="none", pin=pin)


async def test_a_pin_that_matches(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        link = await dialled(
            listener.address.port, tls=pinned(fingerprint(server_tls().chain[0])), engine=alike[0]
        )
        assert link.peer_certificates[0] == server_tls().chain[0]
        await closed(link)


async def test_a_pin_that_does_not_match(engines: Engines) -> None:
    protocol = Trusting()
    async with listening(engine=engines[1]) as listener:
        with pytest.raises(Refused, match="not the pinned one") as info:
            await dialled(
                listener.address.port, tls=pinned(bytes(32)), protocol=protocol, engine=engines[0]
            )
    assert info.value.code == Code.BAD_CERTIFICATE
    assert fingerprint(server_tls().chain[0]).hex() in info.value.message
    assert not protocol.made.done()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("authority", "name", "reason"),
    [
        ("localhost", "localhost", None),
        ("localhost", "example.com", "does not verify: it is for localhost, not for example.com"),
        ("other.example", "localhost", "does not verify"),
    ],
)
async def test_a_certificate_is_held_against_an_authority_and_a_name(
    authority: str, name: str, reason: str | None, tmp_path, engines: Engines
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(server_tls(authority).chain[0].public_bytes(Encoding.PEM))
    tls = ClientTls(server_name=name, verify="ca", ca=ca)
    async with listening(engine=engines[1]) as listener:
        if reason is None:
            await closed(await dialled(listener.address.port, tls=tls, engine=engines[0]))
        else:
            with pytest.raises(Refused, match=reason):
                await dialled(listener.address.port, tls=tls, engine=engines[0])
    await asyncio.sleep(0)


@pytest.mark.parametrize("content", ["", "no certificate", None])
async def test_authorities_that_cannot_be_read_any_more(
    content: str | None, tmp_path, alike: Engines
) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)
    tls = ClientTls(server_name="localhost", verify="ca", ca=ca)
    async with listening(engine=alike[1]) as listener:
        with pytest.raises(Refused, match=r"no authorities could be read from .*ca\.pem"):
            await dialled(listener.address.port, tls=tls, engine=alike[0])
    await asyncio.sleep(0)


async def test_a_self_signed_certificate_is_not_in_the_systems_store(engines: Engines) -> None:
    tls = ClientTls(server_name="localhost", verify="system")
    async with listening(engine=engines[1]) as listener:
        with pytest.raises(Refused, match="does not verify"):
            await dialled(listener.address.port, tls=tls, engine=engines[0])
    await asyncio.sleep(0)


class Odd:
    """A certificate that aioquic passes on without checking it."""

    def __init__(self, replace: bytes, by: bytes) -> None:
        der = server_tls().chain[0].public_bytes(Encoding.DER)
        assert replace in der
        self._der = der.replace(replace, by)

    def public_bytes(self, _: object) -> bytes:
        return self._der


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(("a003020102", "a003020101"), id="a version that does not exist"),
        # Basic constraints that call themselves names, as others do before them.
        pytest.param(("0603551d13", "0603551d11"), id="an extension twice"),
    ],
)
async def test_an_odd_certificate_is_a_failure_in_words(
    odd: tuple[str, str], alike: Engines
) -> None:
    certificate = Odd(*map(bytes.fromhex, odd))
    shown = ServerTls((certificate,), server_tls().key)  # type: ignore[arg-type]
    tls = ClientTls(server_name="localhost", verify="system")
    async with listening(engine="aioquic", tls=shown) as listener:
        with pytest.raises((LinkFailed, Refused), match=r"ertificate|InvalidVersion"):
            await dialled(listener.address.port, tls=tls, engine=alike[0])
    await asyncio.sleep(0)


async def test_newcomers_are_shown_the_new_certificate(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        listener.set_certificate(server_tls("new.example"))
        link = await dialled(listener.address.port, engine=alike[0])
        assert link.peer_certificates[0] == server_tls("new.example").chain[0]
        await closed(link)


# Sockets that are passed in


async def test_a_listener_uses_the_socket_that_it_is_given(alike: Engines) -> None:
    sock = udp.open_bound("127.0.0.1", 0)
    port = sock.getsockname()[1]
    listener = await listen(
        "192.0.2.1",
        9,
        protocol_factory=Trusting,
        server_tls=server_tls(),
        settings=LinkSettings(engine=alike[1]),
        sock=sock,
    )
    assert listener.address == Address("127.0.0.1", port)
    link = await dialled(port, engine=alike[0])
    await closed(link)
    listener.close()
    await listener.wait_closed()
    assert sock.fileno() == -1, "the listener owns the socket"


async def test_a_listener_refuses_a_tcp_socket() -> None:
    with (
        socket.socket() as sock,
        pytest.raises(SettingsError, match="not a UDP socket"),
    ):
        await listen(
            "127.0.0.1",
            0,
            protocol_factory=Trusting,
            server_tls=server_tls(),
            settings=LinkSettings(engine="aioquic"),
            sock=sock,
        )


# Nobody there


async def test_a_port_where_nobody_listens_is_told_at_once(alike: Engines) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(LinkFailed, match="refused"):
        await dialled(port, engine=alike[0])
    await asyncio.sleep(0)


async def test_somebody_who_does_not_answer_is_given_up(alike: Engines) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(LinkFailed, match="no answer within"):
            await dialled(sock.getsockname()[1], within=0.05, engine=alike[0])
    await asyncio.sleep(0)


async def test_an_address_without_a_route_fails(alike: Engines) -> None:
    with pytest.raises(LinkFailed):
        await dialled(9001, "255.255.255.255", engine=alike[0])
    await asyncio.sleep(0)


# The door


class Stranger:
    """A UDP socket that says one thing and hears one thing."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.connect(("127.0.0.1", port))

    async def ask(self, datagram: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._sock, datagram)
        async with asyncio.timeout(TIMEOUT):
            return await loop.sock_recv(self._sock, 2000)

    def close(self) -> None:
        self._sock.close()


async def test_another_version_is_answered_with_ours(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        stranger = Stranger(listener.address.port)
        ours, theirs = os.urandom(8), os.urandom(11)
        hello = bytes([0xC0]) + bytes.fromhex("1a2a3a4a")
        hello += bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
        answer = await stranger.ask(hello.ljust(1200, b"\0"))
        stranger.close()
        flags, version, rest = answer[0], answer[1:5], answer[5:]
        assert flags & 0x80
        assert version == bytes(4)
        ids = bytes([len(theirs)]) + theirs + bytes([len(ours)]) + ours
        assert rest.startswith(ids)
        offered = {number for (number,) in struct.iter_unpack("!I", rest[len(ids) :])}
        assert {number for number in offered if number & 0x0F0F0F0F != RESERVED} == {1}
        assert listener._links == {}


async def test_above_a_threshold_newcomers_must_show_their_address(engines: Engines) -> None:
    settings = LinkSettings(retry_above=2)
    async with listening(protocol_factory=Wary, settings=settings, engine=engines[1]) as listener:
        asked = []
        retry = listener._endpoint.retry
        listener._endpoint.retry = lambda *args: asked.append(1) or retry(*args)
        links = [await dialled(listener.address.port, engine=engines[0]) for _ in range(4)]
        assert len(asked) == 2
        assert listener._admission.unproven == 4
        for link in links:
            await closed(link)


async def test_links_that_are_not_proven_are_capped_and_proven_ones_go_on(engines: Engines) -> None:
    settings = LinkSettings(retry_above=100, max_unproven=3)
    async with listening(protocol_factory=Wary, settings=settings, engine=engines[1]) as listener:
        links = [await dialled(listener.address.port, engine=engines[0]) for _ in range(3)]
        with pytest.raises(LinkFailed, match="no answer"):
            await dialled(listener.address.port, within=0.2, engine=engines[0])
        for link in tuple(listener._links.values()):
            link.trust()
        links.append(await dialled(listener.address.port, engine=engines[0]))
        for link in links:
            await closed(link)


async def test_all_links_are_capped(alike: Engines) -> None:
    settings = LinkSettings(max_links=2)
    async with listening(settings=settings, engine=alike[1]) as listener:
        links = [await dialled(listener.address.port, engine=alike[0]) for _ in range(2)]
        with pytest.raises(LinkFailed, match="no answer"):
            await dialled(listener.address.port, within=0.2, engine=alike[0])
        assert await echo(links[0], b"still well") == b"still well"
        for link in links:
            await closed(link)


async def test_a_handshake_that_never_ends_is_given_up(alike: Engines) -> None:
    settings = LinkSettings(handshake_timeout=0.05)
    async with listening(settings=settings, engine=alike[1]) as listener:
        first = first_datagram(alike[0])
        stranger = Stranger(listener.address.port)
        await stranger.ask(first)
        assert len(listener._links) == 1
        async with asyncio.timeout(TIMEOUT):
            while listener._links:  # noqa: ASYNC110 - no callback reports it
                await asyncio.sleep(0.01)
        assert PROBES[alike[1]].connections(listener._endpoint) == 0
        assert listener._admission.unproven == 0
        stranger.close()


async def test_nothing_is_left_of_a_link_that_was_closed(engines: Engines) -> None:
    async with listening(engine=engines[1]) as listener:
        link = await dialled(listener.address.port, engine=engines[0])
        await echo(link, b"hello")
        await closed(link)
        async with asyncio.timeout(TIMEOUT):
            while listener._links:  # noqa: ASYNC110 - no callback reports it
                await asyncio.sleep(0.01)
        assert PROBES[engines[1]].connections(listener._endpoint) == 0
        assert listener._admission.unproven == 0


def first_datagram(engine: str) -> bytes:
    """Return what a real client opens with."""
    pair = Pair(engines=(engine, engine))
    return pair.client.engine.transmit(0.0)[0][0]
