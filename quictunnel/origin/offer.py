"""Which services an origin asks the remote for, in its hello and later."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from quictunnel.origin.exposed_service import ExposedService
from quictunnel.protocol.messages import MAX_SERVICES, Service


class Offer:
    """The services that an origin exposes, and those of them that it has withdrawn.

    It never changes. Another one replaces it.

    :param services: the exposed services, by name.
    :param withdrawn: the names of services that the remote must not forward clients of.
    """

    def __init__(
        self, services: Mapping[str, ExposedService], withdrawn: Collection[str] = ()
    ) -> None:
        self.services = services
        """The exposed services, by name. Clients that are on their way find withdrawn ones too."""
        self.withdrawn = frozenset(withdrawn)
        """The names of services that are not offered at present."""
        self.requests = [
            service.request for name, service in services.items() if name not in self.withdrawn
        ]
        """The services to ask the remote for, in the order of the settings."""


@dataclass(frozen=True, slots=True)
class HelloList:
    """The services in a hello, which remotes of all versions accept."""

    requests: list[Service]

    is_complete: bool
    """Whether these are all that the origin asks for. Otherwise the complete list must follow."""


def hello_list(offer: Offer) -> HelloList:
    """Return the services for a hello: one at least, and not more than fit one message.

    A remote refuses a hello without services, so that of an origin which has withdrawn all of its
    services lists them nevertheless.
    """
    requests = offer.requests
    if requests:
        return HelloList(requests[:MAX_SERVICES], len(requests) <= MAX_SERVICES)
    exposed = Offer(offer.services).requests
    return HelloList(exposed[:MAX_SERVICES], is_complete=False)
