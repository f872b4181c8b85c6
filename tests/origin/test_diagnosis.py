"""The sentences for a remote that cannot be reached."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
from role_doubles import origin_session

from quictunnel.config.addresses import HostPort
from quictunnel.config.proxies import parse_proxy
from quictunnel.config.urls import parse_websocket_url
from quictunnel.errors import LinkFailed
from quictunnel.origin.diagnosis import Failure, explain_unreachable, explain_websocket
from quictunnel.origin.link_dialing import RemoteAddresses
from quictunnel.quic.settings import ClientTls, LinkSettings
from quictunnel.session import resolver
from testkit.engines import ENGINES

TARGET = HostPort("remote.example", 9001)


def failure(host: str, cause: BaseException | None, words: str = "whatever") -> Failure:
    error = LinkFailed(words)
    error.__cause__ = cause
    return Failure(host, error)


def refused(host: str) -> Failure:
    return failure(host, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))


def unrouted(host: str) -> Failure:
    return failure(host, OSError(errno.ENETUNREACH, "Network is unreachable"))


def late(host: str) -> Failure:
    return failure(host, TimeoutError())


@pytest.mark.parametrize(
    ("failures", "sentence"),
    [
        (
            [late("192.0.2.7")],
            "no answer from 192.0.2.7 on UDP port 9001: UDP may be blocked on the way; check that "
            "the remote runs, that this is its address and port, and that its firewall or "
            "security group lets UDP port 9001 in",
        ),
        (
            [refused("2001:db8::7")],
            "nobody listens at [2001:db8::7] on UDP port 9001, or a firewall refuses: check "
            "that the remote runs, and on this port",
        ),
        ([unrouted("192.0.2.7")], "no network leads to 192.0.2.7: check that this machine is"),
        (
            [failure("192.0.2.7", OSError(errno.EHOSTUNREACH, "No route to host"))],
            "a firewall on the way to 192.0.2.7 refuses: open UDP port 9001 on the VPS and at its "
            "provider",
        ),
        (
            [failure("::2", OSError(errno.EACCES, "denied"))],
            "a firewall on the way to [::2]",
        ),
        (
            [failure("192.0.2.7", OSError(errno.EPERM, "Operation not permitted"))],
            "this machine's own firewall blocks outgoing UDP to 192.0.2.7, port 9001",
        ),
        ([late("10.0.0.5")], "no answer from 10.0.0.5 on UDP port 9001: this private address is"),
        ([late("fd00::5")], "no answer from [fd00::5] on UDP port 9001: this private address is"),
        ([unrouted("2001:db8::7"), refused("192.0.2.7")], "nobody listens at 192.0.2.7 on UDP"),
        ([late("2001:db8::7"), late("192.0.2.7")], "no answer from [2001:db8::7] and 192.0.2.7 on"),
        (
            [failure("192.0.2.7", None, "the handshake {failed}: 0x1")],
            "the handshake {failed}: 0x1",
        ),
    ],
)
def test_each_reason_has_its_sentence(failures, sentence):
    assert explain_unreachable(TARGET, failures).startswith(sentence)


def test_addresses_that_fail_for_different_reasons_have_a_sentence_each():
    text = explain_unreachable(TARGET, [refused("2001:db8::7"), late("192.0.2.7")])
    first, second = text.split("; ", 1)
    assert first.startswith("nobody listens at [2001:db8::7]")
    assert second.startswith("no answer from 192.0.2.7")


@pytest.mark.parametrize("cause", [ConnectionRefusedError(errno.ECONNREFUSED, ""), TimeoutError()])
def test_the_clients_port_has_a_hint(cause):
    text = explain_unreachable(HostPort("remote.example", 9000), [failure("192.0.2.7", cause)])
    assert "9000 is usually the clients' port; origins connect to 9001" in text


async def why_not(host: str, port: int, *, engine: str = "auto", within: float = 5.0) -> str:
    addresses = RemoteAddresses(
        HostPort(host, port),
        make_session=lambda: origin_session()[0],
        client_tls=ClientTls(server_name=host, verify="none"),
        settings=LinkSettings(engine=engine),
        time_limit=within,
    )
    with pytest.raises(LinkFailed) as caught:
        await addresses.dial()
    await asyncio.sleep(0)
    return str(caught.value)


@pytest.fixture
def mute():
    """A UDP port that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_port_that_never_answers(engine, mute):
    reason = await why_not("127.0.0.1", mute, engine=engine, within=0.2)
    assert reason.startswith(f"no answer from 127.0.0.1 on UDP port {mute}: UDP may be blocked")


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_port_where_nobody_listens(engine):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    reason = await why_not("127.0.0.1", port, engine=engine)
    assert reason.startswith(
        f"nobody listens at 127.0.0.1 on UDP port {port}, or a firewall refuses"
    )


async def test_two_addresses_of_which_one_refuses_and_one_is_mute(monkeypatch, mute):
    monkeypatch.setattr(resolver, "look_up", found("::1", "127.0.0.1"))
    reason = await why_not("remote.example", mute, within=1.0)
    first, second = reason.split("; ", 1)
    assert first.startswith("nobody listens at [::1] on")
    assert second.startswith("no answer from 127.0.0.1 on")


async def test_a_link_local_remote_is_dialled_with_its_scope(monkeypatch):
    places = [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("fe80::1", 9001, 0, 3))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    assert await resolver.resolve(HostPort("fe80::1%eth0", 9001)) == ["fe80::1%3"]


async def test_a_name_that_does_not_resolve(monkeypatch):
    async def look_up(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(resolver, "look_up", look_up)
    reason = await why_not("no.example", 9001)
    assert reason == "no.example does not resolve: Name or service not known"


async def test_a_name_server_that_does_not_answer(monkeypatch):
    async def look_up(*_, **__):
        await asyncio.Future()

    monkeypatch.setattr(resolver, "look_up", look_up)
    reason = await why_not("slow.example", 9001, within=0.05)
    assert reason == "slow.example does not resolve: no name server answers within 0.05 s"


def found(*hosts: str):
    async def look_up(host, port, *, kind):
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, kind, 0, "", (host, port))
            for host in hosts
        ]

    return look_up


@pytest.mark.parametrize(
    ("proxy", "advice"),
    [
        (None, "check that this network lets TCP port 443 pass, and whether it needs a proxy"),
        (
            "http://anna:s3cret@proxy.example:3128",
            "check the URL of the proxy http://proxy.example:3128, and that it can reach "
            "remote.example:443",
        ),
    ],
)
def test_the_advice_for_a_websocket_that_times_out_depends_on_the_proxy(proxy, advice):
    error = LinkFailed("the path was not open within 3.5 s")
    error.__cause__ = TimeoutError()
    url = parse_websocket_url("wss://remote.example")
    sentence = explain_websocket(url, error, None if proxy is None else parse_proxy(proxy))
    start = f"over the WebSocket wss://remote.example/quictunnel: {error}; "
    assert sentence.startswith(start + advice)
    assert "s3cret" not in sentence
