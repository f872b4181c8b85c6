"""Events of clients, for tests of the access log."""

from __future__ import annotations

from dataclasses import replace

from quictunnel.events import ClientClosed, ClientEnding, ClientRejected

CLOSED = ClientClosed(
    client="192.0.2.7:5555",
    service="web",
    id="4f2a9c01d7e8b365",
    bytes_up=78,
    bytes_down=1234,
    duration=0.4567,
    reason="ended in order",
    ending=ClientEnding.EOF,
    origin="nas",
)

REJECTED = ClientRejected(
    peer="[2001:db8::7]:5555",
    reason="the policy does not allow this address",
    kind=ClientEnding.POLICY,
)


def closed(**changes) -> ClientClosed:
    return replace(CLOSED, **changes)


def rejected(**changes) -> ClientRejected:
    return replace(REJECTED, **changes)
