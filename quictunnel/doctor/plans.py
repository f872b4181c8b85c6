"""Which checks each end needs."""

from __future__ import annotations

from collections.abc import Sequence

from quictunnel.config.addresses import HostPort
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import EngineName, RemoteSettings
from quictunnel.config.via import Via
from quictunnel.doctor.caddy import CaddyInFront
from quictunnel.doctor.check import Check
from quictunnel.doctor.clock import Clock
from quictunnel.doctor.files import (
    Secrets,
    StateDirectory,
    TokensAndPolicies,
    certificate_check,
)
from quictunnel.doctor.line_quality import LineQuality
from quictunnel.doctor.machine import Descriptors, Engines, Offloads, SocketBuffers
from quictunnel.doctor.names import RemoteName
from quictunnel.doctor.origin_server import OriginServer
from quictunnel.doctor.ports import ListenAddress
from quictunnel.doctor.remote_paths import RemotePaths
from quictunnel.doctor.trial_session import TrialSession, TrialSettings
from quictunnel.doctor.udp_answers import UdpAnswers
from quictunnel.events import Event

MAX_SERVERS = 32
"""Origin servers that are checked."""


def machine_checks(max_clients: int, engine: EngineName = "auto") -> list[Check]:
    """Return the checks of this machine, for either end.

    :param max_clients: the clients that the limit of open files allows.
    :param engine: the value of `--engine`.
    """
    return [SocketBuffers(), Offloads(), Descriptors(max_clients), Clock(), Engines(engine)]


def path_checks(target: HostPort) -> list[Check]:
    """Return the checks of the path to the remote, which need no token."""
    name = RemoteName(target)
    udp = UdpAnswers(name)
    return [name, udp, LineQuality(udp)]


def session_checks(trial: TrialSettings) -> list[Check]:
    """Return the checks of the paths, and of a session over one that works."""
    name = RemoteName(trial.target)
    udp = UdpAnswers(name)
    if trial.websocket is None:
        return [name, udp, TrialSession(trial, udp, needs=udp), LineQuality(udp)]
    tries_udp = trial.via is not Via.WEBSOCKET
    paths = RemotePaths(
        (name, udp) if tries_udp else None,
        trial.websocket,
        is_expected=trial.is_websocket_expected,
    )
    session = TrialSession(trial, udp, needs=paths)
    return [paths, session, LineQuality(udp, needs=paths)] if tries_udp else [paths, session]


def origin_checks(services: Sequence[ServiceSettings], given: Sequence[Event]) -> list[Check]:
    """Return the checks of an origin's settings and servers.

    :param given: events about the settings.
    """
    first = {service.target: service for service in reversed(services)}
    servers = [service for service in services if first[service.target] is service]
    return [Secrets(given), *map(OriginServer, servers[:MAX_SERVERS])]


def remote_checks(settings: RemoteSettings, given: Sequence[Event]) -> list[Check]:
    """Return the checks of a remote's settings, files and ports.

    :param given: events about the settings.
    """
    state = StateDirectory(settings.state_dir)
    checks: list[Check] = [state, TokensAndPolicies(settings, given, state)]
    if (certificate := certificate_check(settings)) is not None:
        checks.append(certificate)
    checks.append(ListenAddress("udp", settings.listen, "--listen"))
    for listen, option in (
        (settings.websocket, "--websocket"),
        (settings.outside, "--outside"),
        (settings.tls, "--tls"),
        (settings.http, "--http"),
        (settings.admin, "--admin"),
    ):
        if listen is not None and listen.port:
            checks.append(ListenAddress("tcp", listen, option))
    if settings.sockets is not None or settings.admin is not None:
        checks.append(CaddyInFront(settings))
    return checks
