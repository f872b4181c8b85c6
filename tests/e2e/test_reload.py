"""A changed configuration file is applied while clients are connected, at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import resource
import signal
from datetime import UTC, datetime, timedelta

from configured_tunnel import SERVICES, exchange

from testkit.tunnel import LOOPBACK

ONE_ENGINE = True

CLIENTS = 500
DOWNLOAD = random.Random(1).randbytes(200_000)


def test_services_come_and_go_while_others_are_used(setup):
    setup.up(0, 1)
    stays, goes = setup.pair(0), setup.pair(1)
    setup.write_origin(0, 2)
    setup.tunnel.origin.wait_for(setup.ready(2))
    exchange(*setup.pair(2))
    for pair in (stays, goes):  # who is connected to a service that is gone may finish
        exchange(*pair)
    setup.tunnel.origin.wait_for(rf"^reloaded: {setup.origin_file}$")
    assert "link lost" not in setup.tunnel.origin.stderr


def test_a_bad_file_changes_nothing(setup):
    setup.up(0)
    pair = setup.pair(0)
    setup.origin_file.write_text("[service.s0]\nto = 0\n")
    setup.tunnel.origin.wait_for(
        rf"^warning: {setup.origin_file}: service.s0.to: .*; the old configuration stays in use$"
    )
    exchange(*pair)
    exchange(*setup.pair(0))
    setup.write_origin(0, 1)
    setup.tunnel.origin.wait_for(setup.ready(1))


def test_a_remote_takes_a_port_back(setup):
    setup.up(0, 1)
    stays, goes = setup.pair(0), setup.pair(1)
    setup.write_remote(f"ports = {setup.port}\n")
    setup.tunnel.origin.wait_for(r"^refused: service s1: the remote does not let origins have port")
    setup.tunnel.remote.wait_for(rf"^Origins may ask for these TCP ports: {setup.port}$")
    assert setup.is_closed(1)
    exchange(*stays)
    exchange(*goes)
    exchange(*setup.pair(0))
    setup.write_remote()
    setup.tunnel.origin.wait_for(setup.ready(1), times=2)
    exchange(*setup.pair(1))


def test_a_policy_for_no_place_is_a_warning(setup):
    setup.up(0)
    wrong = setup.port - 1
    setup.write_remote(f"[policy.{wrong}]\nmax-clients = 1\n")
    reason = f"neither 'ports' nor a token allows port {wrong}"
    setup.tunnel.remote.wait_for(rf"^warning: policy\.{wrong} is for no place: {reason}$")
    setup.tunnel.remote.wait_for(rf"^reloaded: {setup.remote_file}$")


def test_the_ready_line_names_a_new_origin_server(setup):
    setup.up(0, 1)
    moved = setup.origin_file.read_text()
    old = str(setup.tunnel.server_address)
    setup.origin_file.write_text(moved.replace(old, f"{LOOPBACK}:1", 1))
    setup.tunnel.origin.wait_for(rf"{setup.ready(0)} -> {LOOPBACK}:1$")
    setup.tunnel.origin.wait_for(rf"^reloaded: {setup.origin_file}$")
    assert setup.tunnel.origin.stdout.count("ready: ") == 3


def test_a_service_that_leads_back_to_the_remote_is_a_warning(setup):
    setup.up(0)
    own = f"{LOOPBACK}:{setup.port + 1}"
    text = setup.origin_file.read_text()
    loop = f'[service.loop]\nto = "{own}"\nport = {setup.port + 1}\n'
    setup.origin_file.write_text(text + loop)
    place = f"port {setup.port + 1} of the remote on this machine"
    setup.tunnel.origin.wait_for(f"^warning: service loop: {own} is probably {place}, so clients")


def test_a_token_is_revoked(setup):
    setup.up(0)
    client, server = setup.pair(0)
    setup.write_tokens("other." + "s" * 32)
    assert setup.tunnel.origin.wait() == 3
    assert "the remote no longer accepts this token" in setup.tunnel.origin.stderr
    assert client.is_reset()
    assert server.is_reset()


def test_the_rights_of_a_token_change_while_it_is_used(setup):
    setup.up(0, 1)
    name = setup.tunnel.token.id
    pair = setup.pair(0)
    setup.write_remote(f"[token.{name}]\nports = {setup.port}\n")
    setup.tunnel.origin.wait_for(r"^refused: service s1: the token does not allow port")
    assert setup.is_closed(1)
    exchange(*pair)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    setup.write_remote(f"[token.{name}]\nexpires = {soon.isoformat()}\n")
    setup.tunnel.origin.wait_for(setup.ready(1), times=2)
    assert setup.tunnel.origin.wait() == 3
    assert datetime.now(UTC) >= soon
    assert "the token has expired" in setup.tunnel.origin.stderr
    assert pair[0].is_reset()


async def test_500_downloads_do_not_notice_a_change_of_one_of_100_services(setup):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    go_on = asyncio.Event()

    async def serve(_, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(DOWNLOAD[:1])
            await go_on.wait()
            writer.write(DOWNLOAD[1:])
            await writer.drain()
            writer.close()

    async def download(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(LOOPBACK, setup.port + number)
        first = await reader.readexactly(1)
        connected.append(number)
        if len(connected) == CLIENTS:
            all_connected.set()
        rest = await reader.read(-1)
        writer.close()
        return first + rest

    connected: list[int] = []
    all_connected = asyncio.Event()
    try:
        async with await asyncio.start_server(serve, LOOPBACK, 0, backlog=600) as server:
            setup.tunnel.server_address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
            await asyncio.to_thread(setup.up, *range(SERVICES))
            numbers = (number % (SERVICES - 1) for number in range(CLIENTS))
            downloads = [asyncio.ensure_future(download(number)) for number in numbers]
            await all_connected.wait()
            setup.write_origin(*range(SERVICES - 1), SERVICES)
            await asyncio.to_thread(setup.tunnel.origin.wait_for, setup.ready(SERVICES))
            go_on.set()
            digests = {hashlib.sha256(each).digest() for each in await asyncio.gather(*downloads)}
        assert digests == {hashlib.sha256(DOWNLOAD).digest()}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_hangup_reloads_and_says_what_needs_a_restart(setup):
    setup.up(0)
    pair = setup.pair(0)
    setup.write_origin(0, head='hold = "5m"\n')
    for number, end in enumerate((setup.tunnel.origin, setup.tunnel.remote)):
        end.signal(signal.SIGHUP)
        end.wait_for(rf"^reloaded: \S+{'' if number else '; restart to apply hold'}$")
    exchange(*pair)
