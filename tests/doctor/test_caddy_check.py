"""The check of Caddy, with servers in place of its admin API and of the remote's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from quictunnel.config.addresses import ASK_PATH, HostPort
from quictunnel.config.settings import RemoteSettings
from quictunnel.doctor import caddy
from quictunnel.doctor.caddy import CaddyInFront
from quictunnel.doctor.finding import Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = "127.0.0.1"


@contextlib.asynccontextmanager
async def serving(status: int, body: str) -> AsyncIterator[HostPort]:
    """Answer every request in the same way; yield the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(f"{head}{body}".encode("latin-1"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        yield HostPort(LOOPBACK, server.sockets[0].getsockname()[1])


def asking(endpoint: str, *, is_old: bool = False) -> str:
    """Return a configuration of Caddy with on-demand certificates."""
    on_demand = {"ask": endpoint} if is_old else {"permission": {"endpoint": endpoint}}
    return json.dumps({"apps": {"tls": {"automation": {"on_demand": on_demand}}}})


async def check(admin: HostPort | None, status: int, config: str) -> list:
    async with serving(status, config) as api:
        return await CaddyInFront(RemoteSettings(admin=admin), api).run()


async def test_caddy_without_on_demand_certificates():
    (finding,) = await check(None, 200, '{"apps": {"http": [1, null]}}')
    assert finding.level is Level.OK


@pytest.mark.parametrize("is_old", [False, True], ids=["permission", "ask"])
@pytest.mark.parametrize("answer", [200, 404])
async def test_the_ask_of_this_remote(is_old, answer):
    async with serving(answer, "") as admin:
        url = f"http://localhost:{admin.port}{ASK_PATH}"
        findings = await check(admin, 200, asking(url, is_old=is_old))
    assert [finding.level for finding in findings] == [Level.OK, Level.OK]


@pytest.mark.parametrize("body", ["no JSON", '"\xff"', "[" * 100_000])
async def test_another_program_at_the_port_of_caddy(body):
    (finding,) = await check(None, 200, body)
    assert finding.level is Level.SKIPPED
    assert "is not Caddy's admin API" in finding.sentence


async def test_an_ask_that_leads_elsewhere():
    admin = HostPort(LOOPBACK, 9002)
    _, finding = await check(admin, 200, asking("http://localhost:5555/check"))
    assert finding.level is Level.FAILED
    assert f"write 'ask http://127.0.0.1:9002{ASK_PATH}'" in finding.advice


async def test_an_ask_for_a_remote_without_admin_interface():
    _, finding = await check(None, 200, asking(f"http://localhost:9002{ASK_PATH}"))
    assert finding.level is Level.FAILED
    assert "--admin" in finding.advice


async def test_the_ask_of_another_program_is_none_of_our_business():
    (finding,) = await check(None, 200, asking("http://localhost:5555/check"))
    assert finding.level is Level.OK


async def test_an_ask_that_fails():
    async with serving(421, "not local\n\x1b[0m") as admin:
        findings = await check(admin, 200, asking(f"http://{admin}{ASK_PATH}"))
    assert findings[1].level is Level.FAILED
    assert "status 421: not local" in findings[1].sentence


async def test_a_remote_that_does_not_run_yet():
    async with serving(200, "") as admin:
        pass  # nothing listens there any more
    _, finding = await check(admin, 200, asking(f"http://{admin}{ASK_PATH}"))
    assert finding.level is Level.SKIPPED


@pytest.mark.parametrize(("status", "body"), [(403, ""), (200, "<html>")])
async def test_another_server_at_the_port_of_the_admin_api(status, body):
    (finding,) = await check(None, status, body)
    assert finding.level is Level.SKIPPED


@pytest.mark.parametrize("deep", [json.dumps([[[]]]), "[" * 3000 + "]" * 3000])
async def test_a_configuration_without_sense(deep):
    (finding,) = await check(None, 200, deep)
    assert finding.level in (Level.OK, Level.SKIPPED)


@pytest.mark.parametrize(
    ("answers", "level", "words"),
    [(True, Level.OK, ""), (None, Level.WARNING, "neither Caddy's admin API")],
)
async def test_no_admin_api(monkeypatch, answers, level, words):
    async def tcp_answers(*_):
        return answers

    monkeypatch.setattr(caddy, "tcp_answers", tcp_answers)
    async with serving(200, "") as api:
        pass
    (finding,) = await CaddyInFront(RemoteSettings(), api).run()
    assert finding.level is level
    assert words in finding.sentence
