"""From the remote's name to a link: names resolved, addresses tried side by side, TLS as asked for.

What is said on the link is the session's business, when to try again the role's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from itertools import chain, zip_longest
from typing import TypeVar

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkError, LinkFailed, Refused
from quictunnel.origin.diagnosis import Failure, no_lookup, why_unreachable
from quictunnel.origin.happy_eyeballs import first_to_succeed
from quictunnel.protocol.address import literal
from quictunnel.quic import ClientTls, LinkSettings, dial
from quictunnel.session.resolver import look_up
from quictunnel.session.session import Session

ATTEMPT_TIMEOUT = 10.0
"""Seconds for name lookup and handshake, over all addresses: several lost packets' worth."""

SessionT = TypeVar("SessionT", bound=Session)


def tls_for(settings: OriginSettings) -> ClientTls:
    """Return by what the remote is known: pin, CA file, token or the system's store, in that order.

    With a token any certificate will do: its proof is bound to this very TLS session.
    """
    name = settings.remote.host.partition("%")[0]  # a scope is no part of what it is called
    if settings.pin is not None:
        return ClientTls(server_name=name, verify="none", pin=settings.pin)
    if settings.ca is not None:
        return ClientTls(server_name=name, verify="ca", ca=settings.ca)
    return ClientTls(server_name=name, verify="system" if settings.token is None else "none")


async def connect(
    target: HostPort,
    *,
    make_session: Callable[[], SessionT],
    client_tls: ClientTls,
    settings: LinkSettings,
    within: float = ATTEMPT_TIMEOUT,
) -> SessionT:
    """Return a session whose link stands, on the first of the remote's addresses that answers.

    :param within: seconds for all of it.
    :param make_session: makes the session of one attempt; those of the others see their links end.
    :raises LinkFailed: nobody answers, or the name leads nowhere.
    :raises Refused: what answers is not what `client_tls` asks for.
    """
    hosts: list[str] = []
    failures: dict[str, Failure] = {}

    async def attempt(host: str) -> SessionT:
        session = make_session()
        try:
            await dial(
                host,
                target.port,
                protocol=session,
                client_tls=client_tls,
                settings=settings,
                within=within,
                hosts=hosts,
                resolve=partial(_resolve, target),
            )
        except LinkFailed as exc:
            failures[host] = Failure(host, exc)
            raise
        return session

    try:
        async with asyncio.timeout(within):
            hosts = await _resolve(target)
            return await first_to_succeed(
                [partial(attempt, host) for host in hosts],
                discard=lambda session: session.abort(),
            )
    except TimeoutError as exc:
        if not hosts:
            raise LinkFailed(no_lookup(target, within)) from exc
        late = [failures.get(host) or Failure(host, exc) for host in hosts]
        raise LinkFailed(why_unreachable(target, late)) from exc
    except socket.gaierror as exc:
        raise LinkFailed(f"{target.host} does not resolve: {exc.strerror}") from exc
    except ExceptionGroup as group:
        raise _sum_up(group, LinkFailed(why_unreachable(target, [*failures.values()]))) from group


async def _resolve(target: HostPort) -> list[str]:
    """Return a name's addresses in the system's order, the families taking turns (RFC 8305)."""
    found = await look_up(target.host, target.port, kind=socket.SOCK_DGRAM)
    by_family: dict[int, list[str]] = {}
    for family, _, _, _, sockaddr in found:
        by_family.setdefault(family, []).append(literal(sockaddr))
    in_turn = chain.from_iterable(zip_longest(*by_family.values()))
    return list(dict.fromkeys(host for host in in_turn if host is not None))


def _sum_up(group: ExceptionGroup[Exception], unreachable: LinkFailed) -> Exception:
    """Return the one error to raise for those of all addresses.

    :param unreachable: what to raise where none of them could be reached.
    """
    for kind in (Refused, LinkError):
        ours, other = group.split(kind)
        if ours is None:
            continue
        if kind is Refused:
            return ours.exceptions[0]
        if other is None:
            return unreachable
    return group
