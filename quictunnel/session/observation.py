"""Describes the links and clients of sessions as values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from quictunnel.relay.relay import Relay
from quictunnel.session.clients import Client, TcpSide
from quictunnel.session.session import Session
from quictunnel.snapshots import ClientSnapshot, ClientState, LinkSnapshot


def link_snapshots(
    sessions: Iterable[tuple[Session, tuple[str, ...]]],
) -> list[LinkSnapshot]:
    """Return the links of the established sessions, the oldest first.

    :param sessions: the sessions, with the names of the services that are granted on each.
    """
    now = asyncio.get_running_loop().time()
    links = [
        _describe_link(each, each.established_at, services, now)
        for each, services in sessions
        if each.established_at is not None and is_open(each)
    ]
    return sorted(links, key=lambda link: link.age, reverse=True)


def is_open(session: Session) -> bool:
    """Return whether a session was established and its link is not closed."""
    return session.established_at is not None and not session.state.is_over


def client_snapshots(session: Session, tcp_side: TcpSide, now: float) -> Iterator[ClientSnapshot]:
    """Iterate over the clients that a session has now. It may change meanwhile.

    :param tcp_side: what the TCP connections of this role lead to.
    :param now: the time of the loop's clock.
    """
    at_remote = tcp_side == "client"
    origin, link = session.origin_name if at_remote else None, session.link_id
    return (
        ClientSnapshot(
            client.key,
            client.text,
            client.service,
            origin,
            link,
            _state(relay),
            now - client.accepted_at,
            (relay.tcp if at_remote else relay.stream).received,
            (relay.stream if at_remote else relay.tcp).received,
        )
        for relay, client in session.clients.current()
    )


def find_relay(sessions: Iterable[Session], key: str) -> list[tuple[Client, Relay]]:
    """Return the clients with a key, and their relays: at most one, unless a peer repeats ids."""
    return [found for session in sessions for found in session.clients if found[0].key == key]


def unread_bytes(sessions: Iterable[Session]) -> int:
    """Return how many bytes wait for clients or origin servers that do not take them."""
    return sum(session.clients.unread for session in sessions)


def _state(relay: Relay) -> ClientState:
    if relay.is_ending:
        return "closing"
    return "open" if relay.is_joined else "connecting"


def _describe_link(
    session: Session, established_at: float, services: tuple[str, ...], now: float
) -> LinkSnapshot:
    link = session.link
    path = link.statistics
    figures = path.engine
    since = link.silent_since
    return LinkSnapshot(
        id=session.link_id,
        origin=session.origin_name,
        token=session.origin_token,
        agent=session.peer_agent,
        path=link.path_kind,
        path_reason=link.path_reason or None,
        udp_probe=link.udp_probe or None,
        local=str(path.local),
        peer=str(path.peer),
        age=now - established_at,
        silent_for=None if since is None else now - since,
        hold=link.hold,
        is_draining=session.state.is_leaving,
        services=services,
        clients=len(session.clients),
        rtt=figures.rtt,
        congestion_window=figures.congestion_window,
        mtu=figures.mtu,
        bytes_sent=figures.bytes_sent,
        bytes_received=figures.bytes_received,
        packets_sent=figures.packets_sent,
        packets_lost=figures.packets_lost,
        bytes_lost=figures.bytes_lost,
    )
