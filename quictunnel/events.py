"""Facts about a running tunnel, one frozen dataclass each.

Roles emit events to an `EventSink` that is passed in, and do not know what consumes them. The log
and the command line's output are sinks. Addresses are text, such as `192.0.2.7:9001` or
`[2001:db8::7]:9001`. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Base class of all events. It has no fields."""


EventSink: TypeAlias = Callable[[Event], None]
"""Consumes events on the event loop's thread. It returns at once and raises nothing."""


def discard_event(_event: Event) -> None:
    """Ignore an event. This is the default sink."""


# Words of fields that programs count by


class ClientEnding(enum.StrEnum):
    """How a client's connection has ended, or why it was rejected."""

    EOF = "eof"
    """Both ends have sent all of their bytes and closed."""
    RESET_BY_CLIENT = "reset-by-client"
    """The client has reset its connection, or does not answer any more."""
    RESET_BY_SERVER = "reset-by-server"
    """The origin server has reset its connection, or does not answer any more."""
    LEFT = "left"
    """The client has disconnected before it was forwarded."""
    NO_ORIGIN = "no-origin"
    """No origin was connected in time."""
    SERVER_REFUSED = "server-refused"
    """The origin server has refused the connection."""
    SERVER_UNREACHABLE = "server-unreachable"
    """The origin server could not be reached."""
    UNKNOWN_SERVICE = "unknown-service"
    """The origin does not have the service."""
    POLICY = "policy"
    """A policy does not allow the client's address."""
    LIMIT = "limit"
    """A limit on clients, or on their rate, was reached."""
    REJECTED = "rejected"
    """A policy of the origin has rejected the client."""
    OVERLOADED = "overloaded"
    """The origin has no file descriptor left."""
    PROXY_HEADER = "proxy-header"
    """A trusted proxy has sent no valid PROXY header."""
    MALFORMED = "malformed"
    """The client's first bytes are no valid ClientHello or HTTP request."""
    TIMEOUT = "timeout"
    """The client's first bytes did not arrive in time."""
    UNKNOWN_HOST = "unknown-host"
    """The client has named no host, or one that no service has."""
    SERVICE_GONE = "service-gone"
    """The service has ended, or another token's origin has its place."""
    MOVED = "moved"
    """The remote has taken the client back, because the origin did not answer."""
    LINK_LOST = "link-lost"
    """The link was lost or closed."""
    LINGER_OVER = "linger-over"
    """It was half-closed and idle for longer than the linger."""
    IDLE_TIMEOUT = "idle-timeout"
    """It was idle for longer than its policy allows."""
    CUT_SHORT = "cut-short"
    """A role has stopped, or the other end's administrator has closed it."""
    CLOSED = "closed"
    """This end's administrator has closed it."""
    ERROR = "error"
    """An internal error, a violation of the protocol, or an unknown code of the peer."""


class LinkEnding(enum.StrEnum):
    """How a link has ended."""

    CLOSED = "closed"
    """One end has closed it for another reason than these."""
    GOODBYE = "goodbye"
    """One end has stopped in order."""
    TAKEN_OVER = "taken-over"
    """A newer link has replaced it."""
    FORGOTTEN = "forgotten"
    """The peer has dropped it, as after a restart."""
    PEER_ENDED = "peer-ended"
    """The peer's process has ended without a close."""
    LOST = "lost"
    """The peer was silent for the whole hold, or QUIC has failed."""
    REFUSED = "refused"
    """The remote does not accept the origin's token or services any more."""
    VIOLATED = "violated"
    """One end has broken the protocol, or had an internal error."""


class DropKind(enum.StrEnum):
    """Why a peer without a proof was dropped."""

    NETWORK = "network"
    """It is in a network from which origins are not accepted."""
    LINKS = "links"
    """There are too many links."""
    UNPROVEN_LINKS = "unproven-links"
    """There are too many links without a proof."""
    HANDSHAKES = "handshakes"
    """There are too many handshakes."""
    QUEUE = "queue"
    """Too many new peers wait."""
    RETRIES = "retries"
    """Too many new peers have to validate their addresses."""
    TIMEOUT = "timeout"
    """Its handshake was not complete in time."""
    DISPLACED = "displaced"
    """Another peer needed its place."""
    TOO_MUCH = "too-much"
    """It has sent too much before its proof."""


class RefusalKind(enum.StrEnum):
    """Why an origin, or one of its services, was refused."""

    BAD_TOKEN = "bad-token"  # noqa: S105 - a word for a label
    """The token is unknown, has expired, or its proof is wrong."""
    NO_TOKEN = "no-token"  # noqa: S105 - a word for a label
    """The origin has sent no token."""
    BAD_VERSION = "bad-version"
    """The ends speak different versions of the protocol."""
    NOT_ALLOWED = "not-allowed"
    """The token, or the remote, does not allow it."""
    SERVICE_TAKEN = "service-taken"
    """Another origin has its place."""
    TAKEN_OVER = "taken-over"
    """Another link has taken it over."""
    OTHER = "other"
    """A code that this version does not know, or no code."""


class PathKind(enum.StrEnum):
    """A kind of path for a link's datagrams."""

    UDP = "udp"
    """UDP packets between two addresses."""
    WEBSOCKET = "websocket"
    """Messages of a WebSocket."""


class PathReason(enum.StrEnum):
    """Why an origin has moved its link to a path of another kind, in a phrase."""

    UDP_SILENT = "UDP does not answer"
    """The link was silent on UDP."""
    UDP_THROTTLED = "UDP loses nearly all packets"
    """UDP delivers too little to be of use."""
    UDP_ANSWERS = "UDP answers"
    """The remote has answered over UDP."""

    @property
    def word(self) -> str:
        """The reason in a word, such as `udp-silent`."""
        return self.name.lower().replace("_", "-")


class UdpProbeKind(enum.StrEnum):
    """The result of a probe of UDP."""

    ANSWERED = "answered"
    """The remote answers."""
    UNANSWERED = "unanswered"
    """The remote does not answer."""
    NOT_SENT = "not-sent"
    """There is no route, or no address of the remote is known."""


# Clients


@dataclass(frozen=True, slots=True)
class ClientAccepted(Event):
    """A client's address is known, and the client is about to be forwarded."""

    client: str | None
    """The client's address; None for a client without one, such as a proxy's own health check."""
    service: str
    """The service whose address the client connected to."""
    id: str | None
    """The connection's id, the same in the logs of both ends; None if the remote sent none."""


@dataclass(frozen=True, slots=True)
class ClientClosed(Event):
    """A client's connection has ended."""

    client: str | None
    """As in `ClientAccepted`."""
    service: str
    """As in `ClientAccepted`."""
    id: str | None
    """As in `ClientAccepted`."""
    bytes_up: int
    """Bytes from the client to the origin server."""
    bytes_down: int
    """Bytes from the origin server to the client."""
    duration: float
    """Seconds since the client was accepted."""
    reason: str
    """How the connection ended."""
    ending: ClientEnding
    """The same in a word."""
    origin: str | None = None
    """The name of the origin that served the client. Only the remote reports it; None if no origin
    did."""
    first_byte: float | None = None
    """Seconds from the accept to the first byte towards the client; None if there was none."""
    connect_time: float | None = None
    """Seconds that the connection to the origin server took. Only the origin reports it; None if
    there was no connection."""


@dataclass(frozen=True, slots=True)
class ClientMoved(Event):
    """The remote has taken a client back, because its origin did not answer.

    The client is forwarded to another origin, or waits for one.
    """

    client: str | None
    """As in `ClientAccepted`."""
    service: str
    """As in `ClientAccepted`."""
    id: str | None
    """As in `ClientAccepted`."""
    origin: str | None
    """The name of the origin that did not answer."""


@dataclass(frozen=True, slots=True)
class ClientRejected(Event):
    """A client was disconnected before it was forwarded.

    A policy does not allow it, its address is not known, or it names no host that has a service.
    """

    peer: str
    """The client's address, that of a proxy in front of the remote if it names no client, or
    `unknown` at an origin."""
    reason: str
    """Why."""
    kind: ClientEnding
    """The same in a word."""
    suppressed: int = 0
    """Others that were not reported one by one in the last minute, because there were many."""


@dataclass(frozen=True, slots=True)
class ClientLimitReached(Event):
    """New clients are rejected because there are too many. Emitted once until there is room."""

    clients: int
    """Clients connected now."""
    waiting: int
    """Clients of those that wait for an origin."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class AcceptPaused(Event):
    """The system cannot accept more connections for now."""

    reason: str
    """The system's error, such as too many open files."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class ConnectFailed(Event):
    """The origin could not connect to the origin server for a client."""

    target: str
    """The origin server's address as configured."""
    error: str
    """The stream's reset code, in words."""
    reason: str
    """The system's error."""
    id: str | None
    """As in `ClientAccepted`."""
    kind: ClientEnding
    """The stream's reset code, in a word."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class UnknownServiceRequested(Event):
    """The remote forwarded a client of a service that this origin does not have."""

    service: str
    """The name in the preamble."""
    client: str | None
    """As in `ClientAccepted`."""
    id: str | None
    """As in `ClientAccepted`."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class PreambleRejected(Event):
    """A stream did not begin with a valid preamble."""

    peer: str
    """The remote's address."""
    reason: str
    """Why."""
    suppressed: int = 0
    """As in `ClientRejected`."""


# Origins, as the remote sees them


@dataclass(frozen=True, slots=True)
class OriginConnected(Event):
    """An origin has proven its token and been welcomed."""

    origin: str
    """The origin's name."""
    token: str
    """The token's id."""
    peer: str
    """The origin's address."""
    services: tuple[str, ...]
    """Names of the granted services."""
    agent: str
    """The origin's program and version, as it reports them."""
    link: str
    """The link's id, the same at both ends."""
    path: PathKind = PathKind.UDP
    """The kind of path that carries the link's datagrams."""


@dataclass(frozen=True, slots=True)
class OriginDisconnected(Event):
    """The link of an origin that was welcomed has ended."""

    origin: str
    """The origin's name."""
    token: str
    """The token's id."""
    peer: str
    """The origin's last address."""
    duration: float
    """Seconds since it was welcomed."""
    reason: str
    """Why the link ended."""
    kind: LinkEnding
    """The same in a word."""
    link: str
    """As in `OriginConnected`."""


@dataclass(frozen=True, slots=True)
class OriginRejected(Event):
    """An origin was refused for a reason other than its proof."""

    origin: str
    """The name that it sent."""
    token: str
    """The token's id that it sent; empty if none."""
    peer: str
    """Its address."""
    reason: str
    """Why."""
    kind: RefusalKind
    """The same in a word."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class ProofFailed(Event):
    """An origin did not prove that it knows an accepted token."""

    origin: str
    """The name that it sent."""
    token: str
    """The token's id that it sent; empty if none."""
    peer: str
    """Its address."""
    reason: str
    """The refusal's code, in words."""
    failures_from_source: int
    """Failures counted for this source address (for IPv6, its /64)."""
    failures_total: int
    """Failures counted since the remote started."""
    kind: RefusalKind
    """The reason in a word: `bad-token` or `no-token`."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class HelloTimedOut(Event):
    """A peer completed the handshake but sent no hello in time."""

    peer: str
    """Its address."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class PeerDropped(Event):
    """Datagrams or a link of a peer without a proof were dropped, because of a limit."""

    source: str
    """The peer's address, or for IPv6 its network of 64 bits. It may be forged."""
    reason: str
    """The limit."""
    kind: DropKind
    """The same in a word."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class ServicesChanged(Event):
    """A connected origin has other services than before."""

    origin: str
    """The origin's name."""
    token: str
    """The token's id."""
    peer: str
    """The origin's address."""
    services: tuple[str, ...]
    """The services that it has now."""


@dataclass(frozen=True, slots=True)
class ServiceRefused(Event):
    """A connected origin asked for a service that it does not get."""

    origin: str
    """The origin's name."""
    token: str
    """The token's id."""
    peer: str
    """The origin's address."""
    service: str
    """The service's name."""
    reason: str
    """Why."""
    kind: RefusalKind
    """The same in a word."""


# Links, the same at both ends


@dataclass(frozen=True, slots=True)
class LinkSilent(Event):
    """The peer does not answer. Its clients' connections are held."""

    origin: str
    """The origin's name."""
    token: str | None
    """The token's id; None if the origin has none."""
    address: str
    """The origin's last address, as this end sees it."""
    silent_for: float
    """Seconds since the peer was last heard."""
    clients: int
    """Connections held."""
    hold_left: float
    """Seconds until the link and its clients are given up."""
    is_reminder: bool
    """False when the silence begins, True when it is reported again."""
    link: str
    """As in `OriginConnected`."""


@dataclass(frozen=True, slots=True)
class LinkRecovered(Event):
    """A silent peer has answered again."""

    origin: str
    """The origin's name."""
    token: str | None
    """The token's id; None if the origin has none."""
    address: str
    """The origin's address now, as this end sees it."""
    previous_address: str | None
    """The origin's address before the silence; None if it is the same."""
    silent_for: float
    """Seconds that the silence lasted."""
    clients: int
    """Connections kept."""
    link: str
    """As in `OriginConnected`."""
    path: PathKind = PathKind.UDP
    """The kind of path that carries the link's datagrams now."""
    previous_path: PathKind | None = None
    """The kind before, if it was another one."""
    path_reason: str | None = None
    """Why it was changed. Only the origin knows it; None if it was not changed."""


@dataclass(frozen=True, slots=True)
class LinkMoved(Event):
    """The link uses another network path, without a silence."""

    origin: str
    """The origin's name."""
    token: str | None
    """The token's id; None if the origin has none."""
    address: str
    """The origin's address now, as this end sees it."""
    previous_address: str | None
    """The origin's address before, if it was another one."""
    clients: int
    """Connections kept."""
    link: str
    """As in `OriginConnected`."""
    path: PathKind = PathKind.UDP
    """The kind of path that carries the link's datagrams now."""
    previous_path: PathKind | None = None
    """The kind before, if it was another one."""
    path_reason: str | None = None
    """Why it was changed. Only the origin knows it; None if it was not changed."""


@dataclass(frozen=True, slots=True)
class LinkDropped(Event):
    """The link of an established session is lost, and its clients were reset.

    An origin emits it unless it has closed the link or said goodbye itself, or the remote has said
    goodbye and another link has replaced this one; and always after a silence. A remote emits it
    only after a silence: `OriginDisconnected` reports every end.
    """

    origin: str
    """The origin's name."""
    token: str | None
    """The token's id; None if the origin has none."""
    address: str
    """The origin's last address, as this end sees it."""
    reason: str
    """Why."""
    silent_for: float | None
    """Seconds of silence before the end; None if there was no silence."""
    kind: LinkEnding
    """The reason in a word."""
    link: str
    """As in `OriginConnected`."""


@dataclass(frozen=True, slots=True)
class GoodbyeReceived(Event):
    """The peer drains: it accepts no new clients and will close the link."""

    peer: str
    """Its address."""
    reason: str
    """Why, in the peer's words."""
    grace: float
    """Seconds that current clients have to finish."""


@dataclass(frozen=True, slots=True)
class ProtocolViolated(Event):
    """The peer broke the protocol, and the link is closed."""

    peer: str
    """Its address."""
    reason: str
    """Which rule it broke."""
    suppressed: int = 0
    """As in `ClientRejected`."""


# The origin's way to the remote


@dataclass(frozen=True, slots=True)
class LinkEstablished(Event):
    """The origin has a link, and the remote's proof is good."""

    remote: str
    """The remote's address."""
    rtt: float | None
    """Round-trip time in seconds; None before the first sample."""
    hold: float
    """Seconds that the link is kept while silent."""
    remote_restarted: bool
    """Whether the remote is another process than at the previous link."""
    link: str
    """As in `OriginConnected`."""
    path: PathKind = PathKind.UDP
    """As in `OriginConnected`."""


@dataclass(frozen=True, slots=True)
class LinkAttemptFailed(Event):
    """An attempt to establish a link failed, and is retried. Emitted once for each new reason.

    A refusal ends the origin instead, unless the remote has proven itself before and the peer that
    refuses has not.
    """

    remote: str
    """The remote as configured."""
    reason: str
    """Why, and what to check."""
    beside_silent_link: bool
    """Whether a silent link is still held meanwhile."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class GrantedService:
    """A service that the remote has granted."""

    name: str
    """The service's name."""
    address: str | None
    """Where clients reach it at the remote; None if the remote did not say."""

    def __str__(self) -> str:
        """Return the service's name and address, as in a log line."""
        return self.name if self.address is None else f"{self.name}={self.address}"


@dataclass(frozen=True, slots=True)
class ServicesGranted(Event):
    """The remote has granted services: at the welcome, and whenever the list changes."""

    remote: str
    """The remote's address."""
    services: tuple[GrantedService, ...]
    """All services that are granted now."""
    is_first: bool
    """Whether this is the first grant of this link."""


@dataclass(frozen=True, slots=True)
class ServiceNotGranted(Event):
    """The remote does not grant a service that this origin exposes. Others are not affected."""

    remote: str
    """The remote's address."""
    service: str
    """The service's name."""
    reason: str
    """Why, in the remote's words."""
    kind: RefusalKind
    """The same in a word."""


@dataclass(frozen=True, slots=True)
class ServicesLeftOut(Event):
    """The origin exposes more services than the remote can handle. The last ones are left out."""

    remote: str
    """The remote's address."""
    service: str
    """The name of the first service that is left out."""
    count: int
    """Services that are left out."""
    limit: int
    """Services that the remote can handle."""


@dataclass(frozen=True, slots=True)
class ServiceUnhealthy(Event):
    """Checks of a service's origin server have failed. The origin withdraws the service."""

    service: str
    """The service's name."""
    reason: str
    """Why the last check has failed."""


@dataclass(frozen=True, slots=True)
class LoopSuspected(Event):
    """The remote is on this machine, and a service probably leads back to it."""

    service: str
    """The service's name."""
    target: str
    """Address of its origin server."""
    where: str
    """The service's ports at the remote, in words."""


@dataclass(frozen=True, slots=True)
class UnhealthyReasonChanged(Event):
    """A check of an unhealthy service has failed for another reason than the one before."""

    service: str
    """The service's name."""
    reason: str
    """Why the last check has failed."""


@dataclass(frozen=True, slots=True)
class ServiceHealthy(Event):
    """An unhealthy service's origin server works again. The origin offers the service again."""

    service: str
    """The service's name."""
    duration: float
    """Seconds that the service was unhealthy."""


@dataclass(frozen=True, slots=True)
class OriginServerMissing(Event):
    """Nothing listens at the origin server's address when the origin starts."""

    target: str
    """The origin server's address as configured."""


@dataclass(frozen=True, slots=True)
class PathAttempted(Event):
    """The origin continues its link from another socket."""

    local: str
    """The new local address."""
    previous_local: str
    """The local address before."""
    reason: str
    """Why."""


@dataclass(frozen=True, slots=True)
class WebSocketNotOpened(Event):
    """The origin needs a WebSocket to the remote, and cannot open it. Others are tried later.

    Emitted once for each new reason, until one is open.
    """

    reason: str
    """Why, and what to check."""


@dataclass(frozen=True, slots=True)
class UdpProbeChanged(Event):
    """Probes of UDP, from an origin whose link is on a WebSocket, have another result."""

    remote: str
    """The remote as configured."""
    kind: UdpProbeKind
    """The result."""
    reason: str
    """The same in a phrase, with the address."""


@dataclass(frozen=True, slots=True)
class PathMemoryNotUsed(Event):
    """The record of what worked in which network is not used, so the link may start later."""

    file: str | None
    """The record's file; None if there is no directory for it."""
    reason: str
    """Why: the defect of the file, or the system's error."""


# The process


@dataclass(frozen=True, slots=True)
class ProxyIgnored(Event):
    """An environment variable names a proxy that cannot be used, so the origin uses none."""

    reason: str
    """The variable, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class WebSocketUnverified(Event):
    """The WebSocket's certificate does not verify, but the link inside it proves both ends."""

    reason: str
    """The URL, and why not. Something in between may decrypt TLS, and so notice the tunnel."""


@dataclass(frozen=True, slots=True)
class EngineSelected(Event):
    """A role has selected its QUIC engine."""

    engine: str
    """The engine's name."""
    version: str
    """The version of the engine's QUIC library."""
    congestion: str
    """The congestion control."""


@dataclass(frozen=True, slots=True)
class EngineSkipped(Event):
    """An installed engine does not work, and another one is used."""

    engine: str
    """The engine's name."""
    reason: str
    """The defect."""


@dataclass(frozen=True, slots=True)
class StartupCheckFailed(Event):
    """A quick check of this machine, which runs beside the start, has found a problem."""

    check: str
    """The name of the check."""
    reason: str
    """The problem."""
    advice: str
    """How to solve it."""


@dataclass(frozen=True, slots=True)
class RemoteStarted(Event):
    """A remote accepts origins and clients."""

    link_address: str
    """The UDP address for origins."""
    outside_address: str
    """The TCP address for clients."""


@dataclass(frozen=True, slots=True)
class DrainStarted(Event):
    """A role accepts no new clients and lets current ones finish."""

    clients: int
    """Clients connected now."""
    grace: float
    """Seconds that they have to finish."""


@dataclass(frozen=True, slots=True)
class SignalReceived(Event):
    """A signal asks the process to stop."""

    signal: str
    """The signal's name, such as `SIGTERM`."""


@dataclass(frozen=True, slots=True)
class ServiceManagerUnreachable(Event):
    """A message to the service manager was not delivered, and is sent again with the next one."""

    reason: str
    """Why, in the system's words."""


@dataclass(frozen=True, slots=True)
class InternalErrorOccurred(Event):
    """A bug: an exception that no peer and no user should be able to cause."""

    activity: str
    """The activity that failed."""
    exception: BaseException
    """The exception, whose traceback is logged."""
    id: str | None
    """The id of the client concerned, if one is."""


@dataclass(frozen=True, slots=True)
class LogLinesLost(Event):
    """Lines of the log were dropped, because the program does not wait for the log's reader."""

    count: int
    """Lines that are missing."""
    reason: str
    """Why: the reader has paused, or the system's error."""


@dataclass(frozen=True, slots=True)
class AdminSocketNotCreated(Event):
    """The Unix socket of the admin interface cannot be created, so no command finds this role."""

    path: str
    """The socket's path."""
    reason: str
    """Why."""


@dataclass(frozen=True, slots=True)
class AdminLoginFailed(Event):
    """A request to the admin interface had a wrong token."""

    peer: str
    """The client's address."""
    suppressed: int = 0
    """As in `ClientRejected`."""


@dataclass(frozen=True, slots=True)
class AccessLogLinesLost(Event):
    """Lines of the access log were dropped, because the system does not take them."""

    file: str
    """The access log."""
    count: int
    """Lines that are missing."""
    reason: str
    """Why: the reader has paused, or the system's error."""


@dataclass(frozen=True, slots=True)
class AccessLogNotReopened(Event):
    """The access log could not be opened again. Its lines go to the file that is open."""

    file: str
    """The access log."""
    reason: str
    """The system's error."""


@dataclass(frozen=True, slots=True)
class QlogEventsLost(Event):
    """Events of QUIC connections are missing in the qlog files."""

    directory: str
    """The directory of the files."""
    count: int
    """Events that are missing."""
    reason: str
    """Why: the disk is too slow, or the system's error."""


@dataclass(frozen=True, slots=True)
class QlogConnectionsSkipped(Event):
    """QUIC connections were not recorded in qlog files, because there are too many."""

    directory: str
    """The directory of the files."""
    count: int
    """Connections that were not recorded."""
    limit: int
    """Connections that are recorded at a time."""


# Files


@dataclass(frozen=True, slots=True)
class CertificateLoaded(Event):
    """The remote's certificate was read at the start."""

    file: str
    """The certificate's file."""
    pin: str
    """The certificate's fingerprint, as `--pin` takes it."""
    expires: str
    """When it expires, in UTC (ISO 8601)."""


@dataclass(frozen=True, slots=True)
class CertificateRenewed(Event):
    """The certificate's file has changed, and the new certificate is used for new links."""

    file: str
    """The certificate's file."""
    pin: str
    """The new certificate's fingerprint, as `--pin` takes it."""
    expires: str
    """When it expires, in UTC (ISO 8601)."""


@dataclass(frozen=True, slots=True)
class CertificateRejected(Event):
    """The certificate's file has changed but cannot be used. The old certificate stays in use."""

    file: str
    """The certificate's file."""
    reason: str
    """The defect."""


@dataclass(frozen=True, slots=True)
class CertificateOutOfDate(Event):
    """A certificate in use has expired or is not valid yet."""

    file: str
    """The certificate's file."""
    reason: str
    """Which of the two, and the date."""


@dataclass(frozen=True, slots=True)
class ConfigurationReloaded(Event):
    """A configuration file or a file of tokens was read again, and what has changed is applied."""

    file: str
    """The file."""
    restart_needed: tuple[str, ...]
    """Keys that have changed and take effect only after a restart."""


@dataclass(frozen=True, slots=True)
class ConfigurationRejected(Event):
    """A file is invalid after a change. The old configuration stays in use."""

    file: str
    """The file."""
    reason: str
    """Why, in one sentence."""


@dataclass(frozen=True, slots=True)
class TokenLoaded(Event):
    """The token in the state directory was read, or created at the first start."""

    token: str
    """The token's id."""
    directory: str
    """The state directory."""
    created: bool
    """Whether it was created now."""


@dataclass(frozen=True, slots=True)
class AddedTokensLoaded(Event):
    """The tokens that commands have added to the state directory were read."""

    count: int
    """Their number."""
    file: str
    """Their file."""


@dataclass(frozen=True, slots=True)
class TokenExpired(Event):
    """A token has expired, so the remote accepts no origin with it."""

    token: str
    """The token's id."""


@dataclass(frozen=True, slots=True)
class SecretWeak(Event):
    """The secret of a token is short or regular, so it can be guessed."""

    token: str
    """The token's id."""
    bits: int
    """An estimate of its bits, which is an upper bound."""


@dataclass(frozen=True, slots=True)
class PolicyUnused(Event):
    """A policy is for a place that no service can have, so it protects nothing."""

    policy: str
    """The place, as the configuration file has it."""
    reason: str
    """Why no service can have it."""


@dataclass(frozen=True, slots=True)
class SecretExposed(Event):
    """Other users of this machine can read a file that holds a secret."""

    file: str
    """The file."""
    mode: str
    """Its mode, in octal."""
    command: str
    """The command that takes their rights away."""


@dataclass(frozen=True, slots=True)
class WritableByGroup(Event):
    """A group can write to the state directory, or to a directory above it."""

    directory: str
    """The directory."""
    group: str
    """The group, whose members could replace the remote's tokens."""
    command: str | None
    """The command that takes this right away. A directory above has none: others may need it."""


@dataclass(frozen=True, slots=True)
class WritableByEveryone(Event):
    """Every user of the container can write to a directory above the state directory."""

    directory: str
    """The directory above."""


@dataclass(frozen=True, slots=True)
class OwnedByAnother(Event):
    """The remote runs as root, and another user can change its state directory."""

    path: str
    """The path that the user owns: the state directory, a file in it or a directory above it."""
    owner: str
    """The user, who could replace the remote's tokens."""


@dataclass(frozen=True, slots=True)
class ResetKeyNotUsed(Event):
    """The saved key of stateless resets is not used, so origins notice a restart later."""

    reason: str
    """Why."""


@dataclass(frozen=True, slots=True)
class ResetKeyNotSaved(Event):
    """The key of stateless resets could not be saved, so origins notice a restart later."""

    reason: str
    """Why."""
