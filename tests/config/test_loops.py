"""Services that lead back to a remote on the same machine."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import parse_target
from quictunnel.config.loops import looping_services
from quictunnel.config.services import parse_services
from quictunnel.config.settings import OriginSettings


@pytest.mark.parametrize(
    ("remote", "service", "loops"),
    [
        ("localhost", "2222=localhost:2222", True),
        ("127.0.0.1", "2222=127.0.0.2:2222", True),
        ("[::1]:9001", "2222=2222", True),
        ("localhost", "2000-2009=localhost:2009-2018", True),
        ("localhost", "2000-2009=localhost:2010-2019", False),
        ("localhost", "2222=localhost:22", False),
        ("localhost", "2222=192.0.2.1:2222", False),
        ("localhost", "2222=unix:/run/2222", False),
        ("localhost", "auto=localhost:2222", False),
        ("localhost", "localhost:9000", False),
        ("vps.example.com", "2222=localhost:2222", False),
    ],
)
def test_a_service_with_the_port_of_its_server_and_a_remote_on_this_machine(remote, service, loops):
    services = parse_services([service])
    settings = OriginSettings(remote=parse_target(remote, 9001), services=services)
    assert list(looping_services(settings)) == ([*services] if loops else [])
