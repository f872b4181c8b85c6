"""The metrics: names, help texts, labels, and how each is found in a reading.

Names follow the conventions of Prometheus: base units in the name, and `_total` for counters. The
values of labels are words of this program, or names of services and origins up to a limit. A
client's address is never one.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from quictunnel import __version__, events
from quictunnel.admin.metrics_reading import Reading
from quictunnel.observe import log_writer, process
from quictunnel.observe.histogram import Histogram
from quictunnel.observe.tallies import (
    HELLO_TIMEOUT,
    OTHER,
    UNKNOWN,
    OriginTally,
    ServiceTally,
    Tallies,
)
from quictunnel.snapshots import LinkSnapshot, RoleName

PREFIX = "quictunnel_"

Value: TypeAlias = float | Histogram

Values: TypeAlias = Iterable[tuple[tuple[str, ...], Value]]
"""Values, each with those of the metric's labels."""


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric."""

    name: str
    """The full name. Prometheus adds `_bucket`, `_sum` and `_count` to that of a histogram."""
    type: Literal["counter", "gauge", "histogram"]
    """Its type."""
    help: str
    """Explains it to users."""
    labels: tuple[str, ...]
    """The names of its labels."""
    role: RoleName | None
    """The only role that has it; None if both have it."""
    read: Callable[[Reading], Values]
    """Returns its values."""


def _define(
    type_: Literal["counter", "gauge", "histogram"],
    name: str,
    text: str,
    read: Callable[[Reading], Values],
    *labels: str,
    role: RoleName | None = None,
) -> MetricDefinition:
    """Return a metric, without the prefix and the suffix in `name`."""
    suffix = "_total" if type_ == "counter" else ""
    return MetricDefinition(f"{PREFIX}{name}{suffix}", type_, text, labels, role, read)


_counter = partial(_define, "counter")
_gauge = partial(_define, "gauge")
_histogram = partial(_define, "histogram")


# How values are found


def _one(find: Callable[[Reading], Value | None]) -> Callable[[Reading], Values]:
    """Return a reader of one value without labels, which may be missing."""

    def read(reading: Reading) -> Values:
        value = find(reading)
        return [] if value is None else [((), value)]

    return read


def _count(*kinds: type[events.Event]) -> Callable[[Reading], Values]:
    """Return a reader of the number of events."""
    return _one(lambda reading: sum(reading.tallies.counts[kind] for kind in kinds))


def _words(
    find: Callable[[Reading], Mapping[str, int]], words: Iterable[str] = ()
) -> Callable[[Reading], Values]:
    """Return a reader of numbers by word.

    :param words: those that are shown even if they count 0. `rate()` misses the first increase of a
        number that was not there before.
    """

    def read(reading: Reading) -> Values:
        counts = {**zeros, **find(reading)}
        return (((str(word),), count) for word, count in counts.items())

    zeros = dict.fromkeys(map(str, words), 0)
    return read


def _services(find: Callable[[ServiceTally], Value]) -> Callable[[Reading], Values]:
    """Return a reader of one value for each service."""
    return lambda reading: (
        ((tally.name,), find(tally)) for tally in reading.tallies.services.values()
    )


def _endings(reading: Reading) -> Values:
    for tally in reading.tallies.services.values():
        for ending, count in tally.closed.items():
            yield (tally.name, ending), count


def _times(
    find: Callable[[ServiceTally], Histogram], find_shared: Callable[[Tallies], Histogram]
) -> Callable[[Reading], Values]:
    """Return a reader of one histogram for each service, and of the one that others share."""

    def read(reading: Reading) -> Values:
        shared = find_shared(reading.tallies)
        for tally in reading.tallies.services.values():
            if (own := find(tally)) is not shared:
                yield (tally.name,), own
        if shared.count:
            yield (OTHER,), shared

    return read


def _origins(find: Callable[[OriginTally], Value]) -> Callable[[Reading], Values]:
    """Return a reader of one value for each origin."""
    return lambda reading: (
        ((tally.name,), find(tally)) for tally in reading.tallies.origins.values()
    )


def _kept_streams(reading: Reading) -> Values:
    for tally in reading.tallies.origins.values():
        yield (tally.name, "silence"), tally.kept_by_silences
        yield (tally.name, "move"), tally.kept_by_moves


def _links(find: Callable[[LinkSnapshot], Value | None]) -> Callable[[Reading], Values]:
    """Return a reader of one value for the current link of each origin."""

    def read(reading: Reading) -> Values:
        for origin, link in reading.links.items():
            if (value := find(link)) is not None:
                yield (origin,), value

    return read


def _link_paths(reading: Reading) -> Values:
    for origin, link in reading.links.items():
        for kind in events.PathKind:
            yield (origin, str(kind)), link.path == kind


def _path_moves(reading: Reading) -> Values:
    counts = reading.tallies.path_moves
    for move in dict.fromkeys([*PATH_MOVES[reading.role.role], *counts]):
        yield move, counts[move]


def _link_total(field: str) -> Callable[[Reading], Values]:
    """Return a reader of the sum of one field of all links of each origin."""
    return lambda reading: (
        ((origin,), getattr(counters, field)) for origin, counters in reading.link_totals.items()
    )


def _build_info(reading: Reading) -> Values:
    role = reading.role
    yield (__version__, role.role, role.engine, platform.python_version()), 1


PATH_MOVES: Mapping[RoleName, tuple[tuple[str, str], ...]] = {
    "origin": (
        (events.PathKind.WEBSOCKET, events.PathReason.UDP_SILENT.word),
        (events.PathKind.WEBSOCKET, events.PathReason.UDP_THROTTLED.word),
        (events.PathKind.UDP, events.PathReason.UDP_ANSWERS.word),
    ),
    "remote": tuple((kind, UNKNOWN) for kind in events.PathKind),
}
"""The labels of the moves that are shown even if there was none. See `_words`."""

METRICS: tuple[MetricDefinition, ...] = (
    # The role
    _gauge(
        "build_info",
        "Always 1. The labels say which version runs, as which role, with which QUIC engine.",
        _build_info,
        "version",
        "role",
        "engine",
        "python",
    ),
    _gauge(
        "ready",
        "1 if a new client is served now, 0 if not. It is what /readyz reports.",
        _one(lambda reading: reading.role.is_ready),
    ),
    _gauge(
        "draining",
        "1 if the program accepts no new clients because it is ending, 0 otherwise.",
        _one(lambda reading: reading.role.is_draining),
    ),
    # Clients
    _gauge(
        "clients",
        "Clients connected now, by service and state: waiting, connecting, open or closing.",
        lambda reading: reading.clients.items(),
        "service",
        "state",
    ),
    _gauge(
        "clients_limit",
        "The most clients that may be connected at a time.",
        _one(lambda reading: reading.role.max_clients),
    ),
    _counter(
        "clients_accepted",
        "Clients accepted.",
        _services(lambda tally: tally.accepted),
        "service",
    ),
    _counter(
        "clients_closed",
        "Clients that have left, by how their connections have ended.",
        _endings,
        "service",
        "ending",
    ),
    _counter(
        "clients_moved",
        "Clients that were taken back from an origin that did not answer.",
        _services(lambda tally: tally.moved),
        "service",
        role="remote",
    ),
    _counter(
        "clients_rejected",
        "Clients that were disconnected before they were forwarded, by reason.",
        _words(
            lambda reading: reading.tallies.rejected_clients,
            (events.ClientEnding.POLICY, events.ClientEnding.LIMIT),
        ),
        "kind",
    ),
    _counter(
        "client_limit_reached",
        "Times that the limit on clients was reached, so that new clients were rejected.",
        _count(events.ClientLimitReached),
        role="remote",
    ),
    _counter(
        "accept_paused",
        "Times that the system could accept no connection, as without a free file descriptor.",
        _count(events.AcceptPaused),
        role="remote",
    ),
    _counter(
        "forwarded_bytes",
        "Bytes of clients: up to the origin servers, and down to the clients.",
        lambda reading: reading.forwarded.items(),
        "service",
        "direction",
    ),
    _gauge(
        "unread_bytes",
        "Bytes in write buffers, for clients or origin servers that do not take them.",
        _one(lambda reading: reading.role.unread_bytes),
    ),
    _histogram(
        "client_first_byte_seconds",
        "Time from the accept of a client to the first byte towards it.",
        _times(lambda tally: tally.first_byte, lambda tallies: tallies.other_first_byte),
        "service",
    ),
    # Services and origin servers
    _gauge(
        "service_up",
        "1 if a new client of the service is forwarded at once, 0 if not.",
        lambda reading: (((label,), up) for label, up in reading.services_up.items()),
        "service",
    ),
    _gauge(
        "services",
        "Services by state: up, silent, refused, unhealthy or down.",
        _words(
            lambda reading: reading.services_by_state,
            ("up", "silent", "refused", "unhealthy", "down"),
        ),
        "state",
    ),
    _counter(
        "services_refused",
        "Services that the remote has not granted, by reason.",
        _words(lambda reading: reading.tallies.refused_services, events.RefusalKind),
        "kind",
    ),
    _counter(
        "service_unhealthy",
        "Times that checks of the origin server have failed, so that the service was withdrawn.",
        _services(lambda tally: tally.unhealthy),
        "service",
        role="origin",
    ),
    _histogram(
        "origin_server_connect_seconds",
        "Time until the origin server has accepted a connection for a client.",
        _times(lambda tally: tally.connect_time, lambda tallies: tallies.other_connect_time),
        "service",
        role="origin",
    ),
    _counter(
        "origin_server_connect_failures",
        "Connections to origin servers that have failed, by reason.",
        _words(
            lambda reading: reading.tallies.failed_connects,
            (events.ClientEnding.SERVER_REFUSED, events.ClientEnding.SERVER_UNREACHABLE),
        ),
        "kind",
        role="origin",
    ),
    _counter(
        "unknown_services_requested",
        "Clients of services that the origin does not have.",
        _count(events.UnknownServiceRequested),
        role="origin",
    ),
    _counter(
        "preambles_rejected",
        "Streams that did not begin with a valid preamble.",
        _count(events.PreambleRejected),
        role="origin",
    ),
    # Links
    _gauge(
        "links",
        "Links by state: up, silent (the peer does not answer) or draining.",
        _words(lambda reading: reading.links_by_state, ("up", "silent", "draining")),
        "state",
    ),
    _counter(
        "links_established",
        "Links on which the peer has proven itself.",
        _count(events.OriginConnected, events.LinkEstablished),
    ),
    _counter(
        "links_ended",
        "Links of origins that have ended, by reason.",
        _words(lambda reading: reading.tallies.ended_links, events.LinkEnding),
        "kind",
        role="remote",
    ),
    _counter(
        "links_lost",
        "Links that were lost, with their clients. The remote counts them only after a silence.",
        _origins(lambda tally: tally.lost),
        "origin",
    ),
    _counter(
        "link_attempts_failed",
        "Reports of failed attempts to establish a link. Equal failures are reported once.",
        _count(events.LinkAttemptFailed),
        role="origin",
    ),
    _counter(
        "remote_restarts",
        "Times that the remote was another process than at the link before.",
        _one(lambda reading: reading.tallies.remote_restarts),
        role="origin",
    ),
    _gauge(
        "link_silent_seconds",
        "Seconds since the peer was last heard, if it does not answer. 0 if it does.",
        _links(lambda link: link.silent_for or 0),
        "origin",
    ),
    _gauge(
        "link_hold_seconds",
        "Seconds of silence after which the link is lost.",
        _links(lambda link: link.hold),
        "origin",
    ),
    _gauge(
        "link_path",
        "1 for the kind of path that carries the link's datagrams, 0 for the others.",
        _link_paths,
        "origin",
        "path",
    ),
    _gauge(
        "link_rtt_seconds",
        "Smoothed round-trip time of the link's present path.",
        _links(lambda link: link.rtt),
        "origin",
    ),
    _gauge(
        "link_congestion_window_bytes",
        "Bytes that may be in flight on the link's present path.",
        _links(lambda link: link.congestion_window),
        "origin",
    ),
    _gauge(
        "link_mtu_bytes",
        "Largest datagram that is sent on the link's present path.",
        _links(lambda link: link.mtu),
        "origin",
    ),
    _counter(
        "link_sent_bytes",
        "Bytes of datagrams sent on links.",
        _link_total("bytes_sent"),
        "origin",
    ),
    _counter(
        "link_received_bytes",
        "Bytes of datagrams received on links.",
        _link_total("bytes_received"),
        "origin",
    ),
    _counter(
        "link_sent_packets",
        "QUIC packets sent on links.",
        _link_total("packets_sent"),
        "origin",
    ),
    _counter(
        "link_lost_packets",
        "QUIC packets that were sent on links and declared lost.",
        _link_total("packets_lost"),
        "origin",
    ),
    _counter(
        "link_retransmitted_bytes",
        "Bytes in lost QUIC packets, whose content is sent again.",
        _link_total("bytes_lost"),
        "origin",
    ),
    _counter(
        "link_silences",
        "Silences: times that the peer did not answer, and clients were held.",
        _origins(lambda tally: tally.silences),
        "origin",
    ),
    _counter(
        "link_silence_seconds",
        "Seconds of the silences that have ended.",
        _origins(lambda tally: tally.silence_seconds),
        "origin",
    ),
    _counter(
        "link_moves",
        "Times that the link has continued on another network path.",
        _origins(lambda tally: tally.moves),
        "origin",
    ),
    _counter(
        "link_path_moves",
        "Moves between UDP and a WebSocket, by the new path and why. The remote knows no reason.",
        _path_moves,
        "path",
        "reason",
    ),
    _counter(
        "websocket_failures",
        "Reports that a WebSocket could not be opened. Equal failures are reported once.",
        _count(events.WebSocketNotOpened),
        role="origin",
    ),
    _counter(
        "udp_probe_changes",
        "Changes of the result of UDP probes, by the new result. A link on a WebSocket sends them.",
        _words(lambda reading: reading.tallies.udp_probes, events.UdpProbeKind),
        "result",
        role="origin",
    ),
    _counter(
        "link_kept_streams",
        "Streams of clients that were kept across a silence, or across a move without a silence.",
        _kept_streams,
        "origin",
        "across",
    ),
    # Peers that do not become links
    _counter(
        "handshake_failures",
        "Peers that were dropped before they have proven themselves, by reason.",
        _words(
            lambda reading: reading.tallies.failed_handshakes, (*events.DropKind, HELLO_TIMEOUT)
        ),
        "kind",
        role="remote",
    ),
    _counter(
        "proof_failures",
        "Origins that did not prove that they know an accepted token, by reason.",
        _words(
            lambda reading: reading.tallies.failed_proofs,
            (events.RefusalKind.BAD_TOKEN, events.RefusalKind.NO_TOKEN),
        ),
        "kind",
        role="remote",
    ),
    _counter(
        "origins_rejected",
        "Origins that were refused for another reason than their proof, by reason.",
        _words(lambda reading: reading.tallies.rejected_origins, events.RefusalKind),
        "kind",
        role="remote",
    ),
    _counter(
        "protocol_violations",
        "Links that were closed because the peer broke the protocol.",
        _count(events.ProtocolViolated),
    ),
    _counter(
        "admin_logins_failed",
        "Requests to the admin interface that had a wrong token.",
        _count(events.AdminLoginFailed),
    ),
    # Files
    _gauge(
        "certificate_expiry_timestamp_seconds",
        "When the certificate in use expires, in seconds since 1970.",
        _one(lambda reading: reading.tallies.certificate_expires),
        role="remote",
    ),
    _counter(
        "certificates_rejected",
        "Changed certificates that could not be used, so that the old one stays in use.",
        _count(events.CertificateRejected),
        role="remote",
    ),
    _counter(
        "configurations_applied",
        "Times that a changed configuration was applied.",
        _count(events.ConfigurationReloaded),
    ),
    _counter(
        "configurations_rejected",
        "Times that a changed configuration was invalid, so that the old one stays in use.",
        _count(events.ConfigurationRejected),
    ),
    # The process
    _counter(
        "internal_errors",
        "Errors that no peer and no user should be able to cause. The log has the details.",
        _count(events.InternalErrorOccurred),
    ),
    _counter(
        "log_lines_lost",
        "Lines that are missing in the log: its reader was too slow, or the disk was full.",
        _one(lambda _: log_writer.lost_lines()),
    ),
    _histogram(
        "event_loop_delay_seconds",
        "Time by which the event loop runs callbacks late, as sampled ten times a second.",
        _one(lambda reading: reading.loop_delay),
    ),
    _gauge(
        "start_time_seconds",
        "When the program was started, in seconds since 1970.",
        _one(lambda reading: reading.started_at),
    ),
    _counter(
        "process_cpu_seconds",
        "CPU time that the process has used, also in the kernel.",
        _one(lambda _: process.cpu_seconds()),
    ),
    _gauge(
        "process_resident_memory_bytes",
        "Memory of the process in RAM.",
        _one(lambda _: process.resident_bytes()),
    ),
    _gauge(
        "process_open_fds",
        "Open file descriptors of the process.",
        _one(lambda reading: reading.descriptors),
    ),
    _gauge(
        "process_max_fds",
        "The most file descriptors that the process may have open.",
        _one(lambda _: process.max_descriptors()),
    ),
)
"""All metrics, in the order in which they are shown."""


def metrics_of(role: RoleName) -> tuple[MetricDefinition, ...]:
    """Return the metrics that a role has."""
    return tuple(metric for metric in METRICS if metric.role in (None, role))
