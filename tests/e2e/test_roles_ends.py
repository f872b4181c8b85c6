"""How a remote and an origin in one process start, and end."""

from __future__ import annotations

import asyncio

import pytest
from town import LOOPBACK

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.state import load_or_make_certificate
from quictunnel.errors import SettingsError


async def test_addresses_that_are_taken_are_sentences(town):
    with pytest.raises(SettingsError, match=r"cannot listen on tcp .*another program"):
        await town.a_remote(outside=HostPort(LOOPBACK, town.remote.outside_address.port))
    with pytest.raises(SettingsError, match="cannot listen on udp"):
        await town.a_remote(listen=HostPort(LOOPBACK, town.port))


async def test_a_renewed_certificate_is_shown_to_those_who_come(town, monkeypatch, tmp_path):
    renewed = CertificateFiles(*load_or_make_certificate(tmp_path / "renewed"))
    monkeypatch.setattr("quictunnel.remote.server.CERTIFICATE_CHECK_INTERVAL", 0.01)

    def reload(use) -> bool:
        use(renewed.current)
        reloaded.set()
        return True

    reloaded = asyncio.Event()
    town.remote = await town.a_remote()
    monkeypatch.setattr(town.certificates, "reload_if_changed", reload)
    await reloaded.wait()
    await town.up(pin=renewed.current.fingerprint)


async def test_a_renewed_certificate_that_the_engine_cannot_use_harms_nobody(town, monkeypatch):
    """One of the first version of X.509, say, as `openssl x509 -req` makes it by itself."""
    monkeypatch.setattr("quictunnel.remote.server.CERTIFICATE_CHECK_INTERVAL", 0.01)
    town.remote = await town.a_remote()
    pin = town.certificates.current.fingerprint
    tried = asyncio.Event()

    def refuse(_: object, __: object) -> None:
        tried.set()
        raise SettingsError("the engine cannot use this certificate")

    monkeypatch.setattr("quictunnel.quic.Listener.set_certificate", refuse)
    town.certificates.key.unlink()
    town.certificates.cert.unlink()
    load_or_make_certificate(town.certificates.cert.parent)
    ended = asyncio.ensure_future(town.remote.wait_closed())
    await tried.wait()
    await town.up(pin=pin)
    assert not ended.done()
    ended.cancel()


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
