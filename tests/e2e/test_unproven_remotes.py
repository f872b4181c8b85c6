"""Something else answers at the remote's address: the origin stays, and finds the remote again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from scripted_peers import WRONG_ANSWERS, Impostor, in_thread, scripted_remote
from time_limit import time_limit

from quictunnel.config.tokens import Token
from quictunnel.session import resolver
from testkit.programs import (
    CONNECT_FAILED,
    LINK_ESTABLISHED,
    NOT_PROVEN,
    QUICTUNNEL,
    READY_REMOTE,
    logged,
)
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE_ENGINE = ("test_an_impostor_at_one_address_does_not_hide_the_remote_at_another",)

LASTS = 120.0
"""Seconds for which the impostor of the long test answers."""

BACK_WITHIN = 25.0
"""Seconds after its end in which the origin must have a link."""

BESIDE = logged(CONNECT_FAILED, reason=f'".*{NOT_PROVEN}"', beside_silent_link="true")
"""A refused attempt beside a silent link, at the origin."""

BACK = logged(LINK_ESTABLISHED, remote_restarted="true")
"""The link to the remote after its restart, at the origin."""


@contextlib.asynccontextmanager
async def impostor(directory, answers, *, host=LOOPBACK, port) -> AsyncIterator[Impostor]:
    """Answer at an address of the remote, where nothing else may listen."""
    async with scripted_remote(directory, host=host, port=port) as (_, peers):
        impostor = Impostor(peers, answers)
        running = asyncio.create_task(impostor.run())
        try:
            yield impostor
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.mark.parametrize("answer", ["a refusal", "a wrong proof", "a final code"])
async def test_an_impostor_does_not_end_an_origin_or_its_silent_link(mute_tunnel, tmp_path, answer):
    tunnel = mute_tunnel
    _, server = await in_thread(tunnel.pair)
    tunnel.remote.kill()
    with time_limit():
        async with impostor(tmp_path, [WRONG_ANSWERS[answer]], port=tunnel.link_port):
            await in_thread(tunnel.origin.wait_for_log, BESIDE)
            assert not server.is_readable()
        tunnel.start_remote()
        await in_thread(tunnel.wait_for_remote)
        await in_thread(tunnel.origin.wait_for_log, BACK)
        assert await in_thread(server.is_reset)
        await in_thread(tunnel.pair)


def test_another_remote_at_the_same_address_does_not_end_an_origin_or_its_silent_link(
    mute_tunnel, tmp_path
):
    """It answers the silent link with stateless resets of its own key, and refuses the token."""
    tunnel = mute_tunnel
    _, server = tunnel.pair()
    tunnel.remote.kill()
    other = tunnel.programs.start(
        "other",
        *(QUICTUNNEL, "remote", "--listen", tunnel.listen, "--outside", f"{LOOPBACK}:0"),
        *("--state-dir", tmp_path / "other"),
        QUICTUNNEL_TOKEN=Token.new().reveal(),
        QUICTUNNEL_ENGINE=tunnel.engines[1],
    )
    other.wait_for(READY_REMOTE)
    tunnel.origin.wait_for_log(BESIDE)
    assert not server.is_readable()
    other.kill()
    tunnel.start_remote()
    tunnel.wait_for_remote()
    tunnel.origin.wait_for_log(BACK)
    assert server.is_reset()
    tunnel.pair()


async def test_an_impostor_at_one_address_does_not_hide_the_remote_at_another(
    roles, tmp_path, monkeypatch
):
    async def look_up(host, port, *, kind):
        return [
            (socket.AF_INET6, kind, 0, "", ("::1", port, 0, 0)),
            (socket.AF_INET, kind, 0, "", (LOOPBACK, port)),
        ]

    monkeypatch.setattr(resolver, "look_up", look_up)
    answers = [WRONG_ANSWERS["a refusal"]]
    async with impostor(tmp_path, answers, host="::1", port=roles.port) as stranger:
        await roles.up()
        assert stranger.answered == 1


@pytest.mark.nightly
async def test_the_origin_is_back_within_25_seconds_of_two_minutes_of_wrong_answers(
    tunnel, tmp_path
):
    await in_thread(tunnel.up)
    tunnel.remote.kill()
    async with impostor(tmp_path, WRONG_ANSWERS.values(), port=tunnel.link_port) as stranger:
        await asyncio.sleep(LASTS)
        assert tunnel.origin.process.poll() is None
        assert stranger.answered >= 4
    ended_at = time.monotonic()
    tunnel.start_remote()
    await in_thread(partial(tunnel.origin.wait_for_log, BACK, within=BACK_WITHIN))
    assert time.monotonic() - ended_at < BACK_WITHIN
    await in_thread(tunnel.wait_for_remote)
    await in_thread(tunnel.pair)
