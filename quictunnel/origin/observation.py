"""Describes the services and clients of an origin as values, and whether it is ready."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain

from quictunnel.events import GrantedService
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.health import HealthMonitor
from quictunnel.origin.offer import Offer
from quictunnel.origin.service_urls import service_urls
from quictunnel.origin.session import OriginSession
from quictunnel.session.observation import client_snapshots, find_relay
from quictunnel.snapshots import ClientSnapshot, ServiceSnapshot, ServiceState

NO_LINK = "there is no link to the remote"

NOT_JUDGED = "the remote has not answered yet"

LEFT_OUT = "the remote accepts fewer services"

NOT_CHECKED = "its origin server has not been checked yet"


class OriginView:
    """The state of an origin at one moment.

    :param offer: the services.
    :param checks: their health.
    :param current: the session that gets new clients, if there is one.
    :param sessions: all sessions, with those that leave.
    :param remote_host: the remote's host as configured.
    :param last_failure: why the last attempt to connect has failed; None if it has not.
    """

    def __init__(
        self,
        offer: Offer,
        checks: HealthMonitor,
        current: OriginSession | None,
        sessions: Collection[OriginSession],
        *,
        remote_host: str,
        last_failure: str | None,
    ) -> None:
        self._offer = offer
        self._checks = checks
        self._current = current
        self._sessions = sessions
        self._remote_host = remote_host
        self._no_link = NO_LINK if last_failure is None else f"{NO_LINK}: {last_failure}"
        self._failures = checks.failures
        self._granted: dict[str, GrantedService] = {}
        self._refused: dict[str, str] = {}  # with the reasons
        if current is not None:
            listing = current.listing
            self._granted = {service.name: service for service in listing.granted or ()}
            self._refused = dict.fromkeys(listing.left_out, LEFT_OUT) | listing.not_granted

    def services(self) -> Iterator[ServiceSnapshot]:
        """Iterate over the services, in the order of the settings. They may change meanwhile."""
        clients = Counter(
            client.service for session in self._sessions for client, _ in session.clients
        )
        return (
            self._describe(name, service, clients[name])
            for name, service in tuple(self._offer.services.items())
        )

    def clients(self) -> Iterator[ClientSnapshot]:
        """Iterate over the clients that are connected now. They may change meanwhile."""
        now = asyncio.get_running_loop().time()
        return chain(*[client_snapshots(each, "origin server", now) for each in self._sessions])

    def close_client(self, key: str) -> bool:
        """Reset the client with this key; return False if there is none."""
        relays = [relay for _, relay in find_relay(self._sessions, key)]
        for relay in relays:
            relay.close()
        return bool(relays)

    def why_not_ready(self) -> str | None:
        """Return why no new client is served now; None if one is.

        A service with a check is served once the check has succeeded.
        """
        _, obstacle = self._link_state()
        if obstacle is not None:
            return obstacle
        reasons = {name: self._why_not_served(name) for name in self._offer.services}
        if None in reasons.values():
            return None
        name, reason = next(iter(reasons.items()))
        return f"service {name}: {reason}"

    # -- Inside

    def _why_not_served(self, name: str) -> str | None:
        """Return why new clients of a service are not served; None if they are."""
        _, reason = self._state(name)
        return reason or (None if self._checks.has_passed(name) else NOT_CHECKED)

    def _describe(self, name: str, service: ExposedService, clients: int) -> ServiceSnapshot:
        settings = service.settings
        state, reason = self._state(name)
        granted = self._granted.get(name)
        address = None if granted is None else granted.address
        return ServiceSnapshot(
            name=name,
            places=() if address is None else (address,),
            urls=service_urls(settings, address, self._remote_host),
            target=settings.server,
            origins=(),
            state=state,
            reason=reason,
            clients=clients,
        )

    def _state(self, name: str) -> tuple[ServiceState, str | None]:
        """Return the state of a service, and why it is not up."""
        if (failure := self._failures.get(name)) is not None:
            return "unhealthy", failure
        state, obstacle = self._link_state()
        if obstacle is not None:
            return state, obstacle
        if (refusal := self._refused.get(name)) is not None:
            return "refused", refusal
        return ("up", None) if name in self._granted else ("down", NOT_JUDGED)

    def _link_state(self) -> tuple[ServiceState, str | None]:
        """Return the state of all services that is due to the link, and why they are not up."""
        current = self._current
        if current is not None and current.is_usable:
            return "up", None
        if current is not None and current.silent_for is not None:
            return "silent", f"the remote has not answered for {current.silent_for:.0f} s"
        return "down", self._no_link
