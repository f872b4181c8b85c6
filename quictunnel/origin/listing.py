"""Lists the origin's services for the remote, and reports which of them the remote grants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from quictunnel.escaping import cut_name, cut_sentence
from quictunnel.events import (
    EventSink,
    GrantedService,
    ServiceNotGranted,
    ServicesGranted,
    ServicesLeftOut,
)
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.offer import Offer, hello_list
from quictunnel.protocol.messages import MAX_SERVICES, Service, Services, Welcome
from quictunnel.protocol.service_list import MAX_LISTED, ServiceListJoiner, split_list
from quictunnel.session.endings import refusal_kind

OLDER_REMOTE = "the remote does not offer it; it may be older than this origin"
"""The reason for a service that the remote neither grants nor refuses."""

NO_OUTSIDE_ADDRESS = "the remote has no outside address for the service"
"""How remotes refuse a service without a port. They take one with a host name for such a service if
they are too old to know host names."""

_is_address = re.compile(r"[!-~]+").fullmatch
"""Whether a text may be an address: visible ASCII. The protocol limits its length."""

NO_HOST_NAMES = "it is older than this origin and does not know host names"
"""The explanation that is added to such a refusal."""


class Listing:
    """The services of one link.

    The hello has a list that remotes of all versions accept. Unless it is complete, the complete
    list follows the welcome, and the remote's answer to that list is reported.

    :param offer: the services when the hello is sent.
    :param send: sends a message to the remote.
    """

    def __init__(self, offer: Offer, send: Callable[[Services], None], emit: EventSink) -> None:
        self.offer = offer
        """The services now."""
        self.hello = hello_list(offer)
        """The services for the hello."""
        self._send = send
        self._emit = emit
        self._joiner = ServiceListJoiner()
        self._peer = ""
        self._limit = MAX_SERVICES
        self._gives_reasons = False
        self._answer: Services | None = None
        self._is_open = False
        self.granted: tuple[GrantedService, ...] | None = None
        """The services that the remote grants, as reported last; None before the first report."""
        self._servers: list[str] = []
        self._not_granted: frozenset[ServiceNotGranted] = frozenset()
        self._left_out = 0

    def welcomed(self, welcome: Welcome, peer: str) -> None:
        """Take the remote's answer to the hello, which `open` reports.

        :param peer: the remote's address.
        """
        self._peer = peer
        if welcome.max_services is not None:
            self._limit = min(welcome.max_services, MAX_LISTED)
            self._gives_reasons = True
        # Only an older remote judges a list that is not complete.
        if self.hello.is_complete or welcome.max_services is None:
            self._answer = Services(services=welcome.services, refused=welcome.refused)

    def open(self, offer: Offer) -> None:
        """Report what the remote grants, and send it the list if it has judged another one.

        :param offer: the services now. They may have changed since the hello.
        """
        self._is_open = True
        self.offer = offer
        self._report_left_out()
        if self._answer is not None and self.hello.requests == self._requests:
            self._report(self._answer)
        else:
            self._send_list()

    def change(self, offer: Offer) -> None:
        """Offer these services from now on."""
        self.offer = offer
        if self._is_open:
            self._report_left_out()
            self._send_list()

    def received(self, message: Services) -> None:
        """Handle a list of granted services, or a part of one.

        :raises ProtocolError: it is not the next part, or the list is too long.
        """
        answer = self._joiner.add(message)
        if answer is None:
            return
        if self._is_open:
            self._report(answer)
        elif self._answer is not None:
            self._answer = answer

    def explain(self, refusal: str) -> str:
        """Return the sentence of a remote that refuses the hello, with our explanation."""
        return _explained(refusal, self.offer.services.values())

    @property
    def not_granted(self) -> dict[str, str]:
        """Why the remote does not grant services, by their names."""
        return {event.service: event.reason for event in self._not_granted}

    @property
    def left_out(self) -> Sequence[str]:
        """The names of the services that the remote cannot handle beside the others."""
        return [service.name for service in self.offer.requests[self._limit :]]

    # -- Inside

    @property
    def _requests(self) -> list[Service]:
        """The services to ask the remote for, as many as it can handle."""
        return self.offer.requests[: self._limit]

    def _send_list(self) -> None:
        for message in split_list(self._requests):
            self._send(message)

    def _report_left_out(self) -> None:
        left_out = self.offer.requests[self._limit :]
        if left_out and len(left_out) != self._left_out:
            self._emit(ServicesLeftOut(self._peer, left_out[0].name, len(left_out), self._limit))
        self._left_out = len(left_out)

    def _report(self, answer: Services) -> None:
        """Report what has changed since the last answer."""
        granted = tuple(
            GrantedService(each.name, _shown_address(each.address)) for each in answer.services
        )
        # The user wants to know of a new origin server too, which the remote does not know.
        servers = self._find_servers(answer)
        if (granted, servers) != (self.granted, self._servers):
            is_first = self.granted is None
            self.granted, self._servers = granted, servers
            self._emit(ServicesGranted(self._peer, granted, is_first))
        not_granted = self._find_not_granted(answer)
        for event in not_granted:
            if event not in self._not_granted:
                self._emit(event)
        self._not_granted = frozenset(not_granted)

    def _find_servers(self, answer: Services) -> list[str]:
        """Return the origin servers of the granted services, as far as they are still exposed."""
        exposed = (self.offer.services.get(service.name) for service in answer.services)
        return [service.settings.server for service in exposed if service is not None]

    def _find_not_granted(self, answer: Services) -> list[ServiceNotGranted]:
        """Return an event for each of our services that the remote does not grant."""
        reasons = {refused.name: cut_sentence(refused.message) for refused in answer.refused}
        if not self._gives_reasons:
            granted = {service.name for service in answer.services}
            silent = (each.name for each in self._requests if each.name not in granted)
            reasons = dict.fromkeys(silent, OLDER_REMOTE) | reasons
        # The answer may be to an earlier list, with services that are gone.
        names = [each.name for each in self._requests if each.name in reasons]
        services = self.offer.services
        codes = {refused.name: refused.code for refused in answer.refused}
        return [
            ServiceNotGranted(
                self._peer,
                name,
                _explained(reasons[name], [services[name]]),
                refusal_kind(codes.get(name)),
            )
            for name in names
        ]


def _shown_address(address: str | None) -> str | None:
    """Return a service's address at the remote. A text that is none is cut like a name."""
    return address if address is None or _is_address(address) else cut_name(address)


def _explained(refusal: str, services: Iterable[ExposedService]) -> str:
    """Add to a refusal of some of these services that the remote does not know host names."""
    has_host = any(service.settings.host is not None for service in services)
    if has_host and refusal.startswith(NO_OUTSIDE_ADDRESS):
        return f"{refusal}; {NO_HOST_NAMES}"
    return refusal
