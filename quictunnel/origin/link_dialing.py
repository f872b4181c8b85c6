"""Makes one link: resolves the remote's name, dials its addresses, and checks the certificate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from itertools import chain, zip_longest

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import OriginSettings
from quictunnel.errors import LinkError, LinkFailed, Refused
from quictunnel.origin.diagnosis import Failure, explain_lookup_timeout, explain_unreachable
from quictunnel.origin.happy_eyeballs import first_to_succeed
from quictunnel.origin.session import OriginSession
from quictunnel.protocol.address import literal
from quictunnel.quic.dialer import dial
from quictunnel.quic.settings import ClientTls, LinkSettings
from quictunnel.session.resolver import look_up

ATTEMPT_TIMEOUT = 10.0
"""Seconds for name lookup and handshake, over all addresses. Several packets may be lost."""


def tls_for(settings: OriginSettings) -> ClientTls:
    """Return how to check the remote's certificate: by pin, CA file, token or the system's store.

    With a token, any certificate will do: the remote's proof is bound to the TLS session.
    """
    name = settings.remote.host.partition("%")[0]  # without a scope
    if settings.pin is not None:
        return ClientTls(server_name=name, verify="none", pin=settings.pin)
    if settings.ca is not None:
        return ClientTls(server_name=name, verify="ca", ca=settings.ca)
    return ClientTls(server_name=name, verify="system" if settings.token is None else "none")


async def dial_remote(
    target: HostPort,
    *,
    make_session: Callable[[], OriginSession],
    client_tls: ClientTls,
    settings: LinkSettings,
    time_limit: float = ATTEMPT_TIMEOUT,
) -> OriginSession:
    """Return a session whose link is made, with the first of the remote's addresses that answers.

    :param make_session: makes a session. It is called for each address that is dialled.
    :param time_limit: seconds, for all of it.
    :raises LinkFailed: no address answers, or the name does not resolve.
    :raises Refused: the peer's certificate or protocol is not what `client_tls` requires.
    """
    hosts: list[str] = []
    failures: dict[str, Failure] = {}

    async def attempt(host: str) -> OriginSession:
        session = make_session()
        try:
            await dial(
                host,
                target.port,
                protocol=session,
                client_tls=client_tls,
                settings=settings,
                within=time_limit,
                hosts=hosts,
                resolve=partial(_resolve, target),
            )
        except LinkFailed as exc:
            failures[host] = Failure(host, exc)
            raise
        return session

    try:
        async with asyncio.timeout(time_limit):
            hosts = await _resolve(target)
            return await first_to_succeed(
                [partial(attempt, host) for host in hosts],
                discard=lambda session: session.abort(),
            )
    except TimeoutError as exc:
        if not hosts:
            raise LinkFailed(explain_lookup_timeout(target, time_limit)) from exc
        timed_out = [failures.get(host) or Failure(host, exc) for host in hosts]
        raise LinkFailed(explain_unreachable(target, timed_out)) from exc
    except socket.gaierror as exc:
        raise LinkFailed(f"{target.host} does not resolve: {exc.strerror}") from exc
    except ExceptionGroup as group:
        unreachable = LinkFailed(explain_unreachable(target, [*failures.values()]))
        raise _select_error(group, unreachable) from group


async def _resolve(target: HostPort) -> list[str]:
    """Return a name's addresses in the system's order, with the families interleaved (RFC 8305)."""
    found = await look_up(target.host, target.port, kind=socket.SOCK_DGRAM)
    by_family: dict[int, list[str]] = {}
    for family, _, _, _, sockaddr in found:
        by_family.setdefault(family, []).append(literal(sockaddr))
    interleaved = chain.from_iterable(zip_longest(*by_family.values()))
    return list(dict.fromkeys(host for host in interleaved if host is not None))


def _select_error(group: ExceptionGroup[Exception], unreachable: LinkFailed) -> Exception:
    """Return the one error to raise for those of all addresses: a refusal, a bug, or the rest.

    :param unreachable: the error to raise if no address could be reached.
    """
    refusals, others = group.split(Refused)
    if refusals is not None:
        return refusals.exceptions[0]
    if others is not None and others.split(LinkError)[1] is None:
        return unreachable
    return group
