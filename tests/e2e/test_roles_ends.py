"""How a remote and an origin in one process start, drain and end."""

from __future__ import annotations

import asyncio

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.state import load_or_make_certificate
from quictunnel.errors import SettingsError
from testkit.tunnel import LOOPBACK


async def test_an_address_in_use_is_an_error_in_words(roles):
    with pytest.raises(SettingsError, match=r"cannot listen on tcp .*another program"):
        await roles.start_remote(outside=HostPort(LOOPBACK, roles.remote.outside_address.port))
    with pytest.raises(SettingsError, match="cannot listen on udp"):
        await roles.start_remote(listen=HostPort(LOOPBACK, roles.port))


async def test_a_renewed_certificate_is_used_for_new_connections(roles, monkeypatch, tmp_path):
    renewed = CertificateFiles(*load_or_make_certificate(tmp_path / "renewed"))
    monkeypatch.setattr("quictunnel.remote.server.CERTIFICATE_CHECK_INTERVAL", 0.01)

    def reload(use) -> bool:
        use(renewed.current)
        reloaded.set()
        return True

    reloaded = asyncio.Event()
    roles.remote = await roles.start_remote()
    monkeypatch.setattr(roles.certificates, "reload_if_changed", reload)
    await reloaded.wait()
    await roles.up(pin=renewed.current.fingerprint)


async def test_a_renewed_certificate_that_the_engine_rejects_is_not_used(roles, monkeypatch):
    """For example a certificate of X.509 version 1, which is the default of `openssl x509 -req`."""
    monkeypatch.setattr("quictunnel.remote.server.CERTIFICATE_CHECK_INTERVAL", 0.01)
    roles.remote = await roles.start_remote()
    pin = roles.certificates.current.fingerprint
    tried = asyncio.Event()

    def refuse(_: object, __: object) -> None:
        tried.set()
        raise SettingsError("the engine cannot use this certificate")

    monkeypatch.setattr("quictunnel.quic.listener.Listener.set_certificate", refuse)
    roles.certificates.key.unlink()
    roles.certificates.cert.unlink()
    load_or_make_certificate(roles.certificates.cert.parent)
    ended = asyncio.ensure_future(roles.remote.wait_closed())
    await tried.wait()
    await roles.up(pin=pin)
    assert not ended.done()
    ended.cancel()


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_a_drain_lets_clients_finish(roles, which):
    ends = {"origin": await roles.up(), "remote": roles.remote}
    client, server = await roles.pair()
    ends[which].drain()
    await client.send(b"last question")
    client.send_eof()
    assert await server.receive_all() == b"last question"
    await server.send(b"last answer")
    server.send_eof()
    assert await client.receive_all() == b"last answer"
    await ends[which].wait_closed()


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_a_drain_loses_nothing_of_a_slow_client(roles, which):
    ends = {"origin": await roles.up(), "remote": roles.remote}
    client, server = await roles.pair()
    answer = bytes(3_000_000)
    sending = asyncio.create_task(server.send(answer))
    await client.receive(1)
    ends[which].drain()
    await sending
    server.send_eof()
    client.send_eof()
    assert len(await client.receive_all()) == len(answer) - 1
    await ends[which].wait_closed()


async def test_a_drain_resets_clients_after_the_grace(roles):
    roles.remote = await roles.start_remote(grace=0.2)
    await roles.up()
    client, server = await roles.pair()
    roles.remote.drain()
    assert await client.is_reset()
    assert await server.is_reset()
    await roles.remote.wait_closed()


async def test_a_draining_remote_accepts_no_client(roles):
    await roles.up()
    _, _ = await roles.pair()
    roles.remote.drain()
    with pytest.raises(ConnectionRefusedError):
        await roles.connect()


@pytest.mark.parametrize("which", ["remote", "origin"])
async def test_an_abort_resets_clients(roles, which):
    ends = {"origin": await roles.up(), "remote": roles.remote}
    client, server = await roles.pair()
    ends[which].abort()
    assert await client.is_reset()
    assert await server.is_reset()
    await ends[which].wait_closed()


async def test_another_origin_can_replace_one_that_has_drained(roles):
    first = await roles.up()
    first.drain()
    await first.wait_closed()
    await roles.up(name="other")
