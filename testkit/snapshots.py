"""Snapshots of a role, for tests of what shows them."""

from __future__ import annotations

from quictunnel.events import PathKind
from quictunnel.snapshots import ClientSnapshot, LinkSnapshot, RoleSnapshot, ServiceSnapshot

STATE = RoleSnapshot(
    role="remote",
    name="[::]:9001",
    engine="quinn",
    addresses=("udp [::]:9001", "tcp [::]:9000"),
    age=12.5,
    clients=0,
    max_clients=1000,
    unread_bytes=0,
    is_draining=False,
    is_ready=True,
    reason=None,
)
"""A remote that is ready."""

LINK = LinkSnapshot(
    id="l1",
    origin="box",
    token="2fdf26f2",
    agent="quictunnel/0.2.0",
    path=PathKind.UDP,
    local="192.0.2.1:9001",
    peer="198.51.100.7:40000",
    age=100.0,
    silent_for=None,
    hold=900.0,
    is_draining=False,
    services=("web",),
    clients=1,
    rtt=0.025,
    congestion_window=30_000,
    mtu=1400,
    bytes_sent=1000,
    bytes_received=2000,
    packets_sent=10,
    packets_lost=0,
    bytes_lost=0,
)
"""A link of the origin `box` that answers."""

CLIENT = ClientSnapshot(
    id="c1",
    address="203.0.113.9:5555",
    service="web",
    origin="box",
    link="l1",
    state="open",
    age=10.0,
    bytes_up=100,
    bytes_down=1000,
)
"""A client that is connected to `SERVICE`."""

SERVICE = ServiceSnapshot(
    name="web",
    places=("[::]:9000",),
    urls=("http://192.0.2.1:9000/",),
    target=None,
    origins=("box",),
    state="up",
    reason=None,
    clients=1,
)
"""A service of the origin `box`."""
