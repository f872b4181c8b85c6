"""Counts events, for metrics and status pages.

Counting is always on, so an event costs a few additions. Texts of peers and addresses of clients
are not kept. Names of services and origins are, up to a limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from quictunnel import events
from quictunnel.observe.histogram import Histogram

MAX_NAMES = 1_000
"""Services, and origins, that are counted each on its own. Later ones are counted as `OTHER`."""

MAX_TIMED = 100
"""Services whose times are counted each on its own. The others share one histogram."""

OTHER = "other"
"""The name that stands for all beyond a limit."""

UNKNOWN = "unknown"
"""The reason of a move that this end does not know."""

HELLO_TIMEOUT = "hello-timeout"
"""The kind of a failed handshake whose peer has sent no hello in time."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms of connect times and times to first byte."""


class ServiceTally:
    """Counts the clients of one service.

    :param name: the service's name, or `OTHER`.
    :param connect_time: counts the seconds until its origin server has accepted a connection.
    :param first_byte: counts the seconds from accept to the first byte towards the client.
    """

    __slots__ = (
        "accepted",
        "bytes_down",
        "bytes_up",
        "closed",
        "connect_time",
        "first_byte",
        "moved",
        "name",
        "unhealthy",
    )

    def __init__(self, name: str, connect_time: Histogram, first_byte: Histogram) -> None:
        self.name = name
        self.connect_time = connect_time
        self.first_byte = first_byte
        self.accepted = 0
        """Clients accepted."""
        self.closed: Counter[str] = Counter()
        """Clients that have left, by ending."""
        self.moved = 0
        """Clients taken back from an origin that did not answer."""
        self.bytes_up = 0
        """Bytes to the origin server of clients that have left."""
        self.bytes_down = 0
        """Bytes to clients that have left."""
        self.unhealthy = 0
        """Times that checks of the origin server have failed, so that the service was withdrawn."""


class OriginTally:
    """Counts the events of the links of one origin.

    :param name: the origin's name, or `OTHER`.
    """

    __slots__ = (
        "kept_by_moves",
        "kept_by_silences",
        "lost",
        "moves",
        "name",
        "silence_seconds",
        "silences",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.silences = 0
        """Silences that have begun."""
        self.silence_seconds = 0.0
        """Seconds of the silences that have ended."""
        self.moves = 0
        """Changes of the network path, with or without a silence."""
        self.kept_by_silences = 0
        """Streams of clients that were kept across silences."""
        self.kept_by_moves = 0
        """Streams of clients that were kept across moves without a silence."""
        self.lost = 0
        """Links that were lost."""


class Tallies:
    """An `EventSink` that counts.

    A failure that is reported together with others counts as many times as they are. Such a report
    comes within a minute.
    """

    def __init__(self) -> None:
        self.services: dict[str, ServiceTally] = {}
        """By name; at most `MAX_NAMES`, and `OTHER`."""
        self.origins: dict[str, OriginTally] = {}
        """By name, likewise."""
        self.rejected_clients: Counter[str] = Counter()
        """Clients that were disconnected before they were forwarded, by kind."""
        self.failed_connects: Counter[str] = Counter()
        """Failures to connect to origin servers, by error."""
        self.refused_services: Counter[str] = Counter()
        """Services that were asked for and not granted, by kind."""
        self.rejected_origins: Counter[str] = Counter()
        """Origins that have proven themselves or need not, and were refused, by kind."""
        self.failed_proofs: Counter[str] = Counter()
        """Origins that have not proven that they know an accepted token, by kind."""
        self.failed_handshakes: Counter[str] = Counter()
        """Peers that were dropped before they have proven themselves, by kind."""
        self.ended_links: Counter[str] = Counter()
        """Links of origins that have ended at the remote, by kind."""
        self.path_moves: Counter[tuple[str, str]] = Counter()
        """Moves of links to a path of another kind, by that kind and the reason's word."""
        self.udp_probes: Counter[str] = Counter()
        """Changes of the result of UDP probes, by the new result."""
        self.counts: Counter[type[events.Event]] = Counter()
        """Events of the types that have no other count, and links of the origin."""
        self.remote_restarts = 0
        """Times that the remote was another process than at the previous link."""
        self.certificate_expires: float | None = None
        """When the certificate in use expires, in seconds since 1970; None if there is none."""
        self.other_connect_time = Histogram(SECONDS)
        """The connect times of all services beyond `MAX_TIMED`."""
        self.other_first_byte = Histogram(SECONDS)
        """The times to first byte of the same services."""
        self._counters: dict[type[events.Event], Callable[[Any], None]] = {
            events.ClientAccepted: self._client_accepted,
            events.ClientClosed: self._client_closed,
            events.ClientMoved: self._client_moved,
            events.ServiceUnhealthy: self._service_unhealthy,
            events.LinkSilent: self._link_silent,
            events.LinkRecovered: self._link_recovered,
            events.LinkMoved: self._link_moved,
            events.LinkDropped: self._link_dropped,
            events.LinkEstablished: self._link_established,
            events.CertificateLoaded: self._certificate_used,
            events.CertificateRenewed: self._certificate_used,
            events.HelloTimedOut: self._hello_timed_out,
        }
        by_kind = {
            events.ClientRejected: self.rejected_clients,
            events.ConnectFailed: self.failed_connects,
            events.ServiceRefused: self.refused_services,
            events.ServiceNotGranted: self.refused_services,
            events.OriginRejected: self.rejected_origins,
            events.ProofFailed: self.failed_proofs,
            events.PeerDropped: self.failed_handshakes,
            events.OriginDisconnected: self.ended_links,
            events.UdpProbeChanged: self.udp_probes,
        }
        for kind, counter in by_kind.items():
            self._counters[kind] = partial(_count_by_kind, counter)

    def __call__(self, event: events.Event) -> None:
        """Count an event."""
        kind = type(event)
        count = self._counters.get(kind)
        if count is not None:
            count(event)
        else:
            self.counts[kind] += _failures(event)

    def service(self, name: str) -> ServiceTally:
        """Return the tally of a service, or of all others beyond the limit."""
        found = self.services.get(name)
        if found is None:
            name = name if len(self.services) < MAX_NAMES else OTHER
            found = self.services.get(name) or self._add_service(name)
        return found

    def origin(self, name: str) -> OriginTally:
        """Return the tally of an origin, or of all others beyond the limit."""
        found = self.origins.get(name)
        if found is None:
            name = name if len(self.origins) < MAX_NAMES else OTHER
            found = self.origins.setdefault(name, OriginTally(name))
        return found

    # -- Inside

    def _add_service(self, name: str) -> ServiceTally:
        if len(self.services) < MAX_TIMED and name != OTHER:
            connect_time, first_byte = Histogram(SECONDS), Histogram(SECONDS)
        else:
            connect_time, first_byte = self.other_connect_time, self.other_first_byte
        tally = ServiceTally(name, connect_time, first_byte)
        self.services[name] = tally
        return tally

    def _client_accepted(self, event: events.ClientAccepted) -> None:
        self.service(event.service).accepted += 1

    def _client_closed(self, event: events.ClientClosed) -> None:
        tally = self.service(event.service)
        tally.closed[event.ending] += 1
        tally.bytes_up += event.bytes_up
        tally.bytes_down += event.bytes_down
        if event.first_byte is not None:
            tally.first_byte.observe(event.first_byte)
        if event.connect_time is not None:
            tally.connect_time.observe(event.connect_time)

    def _client_moved(self, event: events.ClientMoved) -> None:
        self.service(event.service).moved += 1

    def _service_unhealthy(self, event: events.ServiceUnhealthy) -> None:
        self.service(event.service).unhealthy += 1

    def _link_silent(self, event: events.LinkSilent) -> None:
        if not event.is_reminder:
            self.origin(event.origin).silences += 1

    def _link_recovered(self, event: events.LinkRecovered) -> None:
        tally = self.origin(event.origin)
        tally.silence_seconds += event.silent_for
        tally.kept_by_silences += event.clients
        if event.previous_address is not None or event.previous_path is not None:
            tally.moves += 1
        self._count_path(event)

    def _link_moved(self, event: events.LinkMoved) -> None:
        tally = self.origin(event.origin)
        tally.moves += 1
        tally.kept_by_moves += event.clients
        self._count_path(event)

    def _count_path(self, event: events.LinkRecovered | events.LinkMoved) -> None:
        if event.previous_path is not None:
            self.path_moves[event.path, _reason_word(event.path_reason)] += 1

    def _link_dropped(self, event: events.LinkDropped) -> None:
        tally = self.origin(event.origin)
        tally.lost += 1
        tally.silence_seconds += event.silent_for or 0.0

    def _link_established(self, event: events.LinkEstablished) -> None:
        self.counts[events.LinkEstablished] += 1
        self.remote_restarts += event.remote_restarted

    def _hello_timed_out(self, event: events.HelloTimedOut) -> None:
        self.failed_handshakes[HELLO_TIMEOUT] += _failures(event)

    def _certificate_used(
        self, event: events.CertificateLoaded | events.CertificateRenewed
    ) -> None:
        self.certificate_expires = datetime.fromisoformat(event.expires).timestamp()


def _reason_word(phrase: str | None) -> str:
    """Return the word of the reason for a move."""
    if phrase is None:
        return UNKNOWN
    return next((reason.word for reason in events.PathReason if reason == phrase), OTHER)


def _count_by_kind(counter: Counter[str], event: Any) -> None:  # noqa: ANN401 - see `_counters`
    """Count a failure in a counter, by the field `kind` of its event."""
    counter[event.kind] += _failures(event)


def _failures(event: events.Event) -> int:
    """Return how many failures an event reports."""
    return 1 + getattr(event, "suppressed", 0)
