"""Nothing of a link that has ended at the remote waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import Refused
from quictunnel.origin.client import Origin
from quictunnel.quic.link import Link
from quictunnel.remote.server import Remote
from quictunnel.remote.session import RemoteSession
from testkit.engines import ENGINES

LOOPBACK = "127.0.0.1"

CHECKS = 400
"""Checks, 50 ms apart, until which the remote forgets a closed link, even on a slow machine."""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def present() -> tuple[int, int]:
    """Return how many sessions and links of remotes exist."""
    objects = gc.get_objects()
    sessions = sum(isinstance(each, RemoteSession) for each in objects)
    return sessions, sum(isinstance(each, Link) and not each._is_client for each in objects)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_link_without_a_proof(tmp_path, engine):
    remote = Remote(
        RemoteSettings(
            listen=HostPort(LOOPBACK, 0),
            outside=HostPort(LOOPBACK, 0),
            state_dir=tmp_path,
            engine=engine,
        ),
        (Token.new(),),
        CertificateFiles(*load_or_make_certificate(tmp_path)),
    )
    before = present()
    await remote.start()
    try:
        for _ in range(3):
            await be_refused(remote, engine)
        for _ in range(CHECKS):
            if present() == before:
                break
            await asyncio.sleep(0.05)
        assert present() == before
    finally:
        remote.abort()
        await remote.wait_closed()


async def be_refused(remote: Remote, engine: str) -> None:
    """Come as an origin with another token, until the remote has refused it."""
    origin = Origin(
        OriginSettings(
            remote=HostPort(LOOPBACK, remote.link_address.port),
            services=(ServiceSettings(target=HostPort(LOOPBACK, 9)),),
            token=Token.new(),
            name="stranger",
            engine=engine,
        )
    )
    await origin.start()
    with pytest.raises(Refused):
        await origin.wait_closed()
