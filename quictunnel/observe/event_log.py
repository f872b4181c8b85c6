"""Logs events. Each kind of event has a level and a message; its fields become `key=value`."""

from __future__ import annotations

import logging
from collections.abc import Collection

from quictunnel import events
from quictunnel.observe.log_format import EventRecord

_LINES: dict[type[events.Event], tuple[int, str]] = {
    events.ClientAccepted: (logging.INFO, "client accepted"),
    events.ClientClosed: (logging.INFO, "client closed"),
    events.ClientMoved: (logging.INFO, "client moved"),
    events.ClientRejected: (logging.WARNING, "client rejected"),
    events.ClientLimitReached: (logging.WARNING, "too many clients, rejecting new ones"),
    events.AcceptPaused: (logging.WARNING, "accept paused"),
    events.ConnectFailed: (logging.WARNING, "connect to origin server failed"),
    events.UnknownServiceRequested: (logging.WARNING, "unknown service requested"),
    events.PreambleRejected: (logging.WARNING, "preamble rejected"),
    events.OriginConnected: (logging.INFO, "origin connected"),
    events.OriginDisconnected: (logging.INFO, "origin disconnected"),
    events.OriginRejected: (logging.WARNING, "origin rejected"),
    events.ProofFailed: (logging.WARNING, "proof failed"),
    events.HelloTimedOut: (logging.WARNING, "hello timed out"),
    events.PeerDropped: (logging.WARNING, "peer dropped"),
    events.ServicesChanged: (logging.INFO, "services changed"),
    events.ServiceRefused: (logging.WARNING, "service refused"),
    events.LinkSilent: (logging.WARNING, "link silent"),
    events.LinkRecovered: (logging.INFO, "link recovered"),
    events.LinkMoved: (logging.INFO, "link moved"),
    events.LinkDropped: (logging.WARNING, "link lost"),
    events.GoodbyeReceived: (logging.INFO, "goodbye received"),
    events.ProtocolViolated: (logging.WARNING, "protocol violation"),
    events.LinkEstablished: (logging.INFO, "link established"),
    events.LinkAttemptFailed: (logging.WARNING, "connect failed, retrying"),
    events.ServicesGranted: (logging.INFO, "services granted"),
    events.ServiceNotGranted: (logging.WARNING, "service not granted"),
    events.ServicesLeftOut: (logging.WARNING, "services left out, the remote accepts fewer"),
    events.ServiceUnhealthy: (logging.WARNING, "service unhealthy"),
    events.UnhealthyReasonChanged: (logging.WARNING, "service unhealthy for another reason"),
    events.ServiceHealthy: (logging.INFO, "service healthy"),
    events.LoopSuspected: (logging.WARNING, "service probably leads back to the remote"),
    events.OriginServerMissing: (logging.WARNING, "origin server not listening yet"),
    events.PathAttempted: (logging.DEBUG, "path attempted"),
    events.ProxyIgnored: (logging.WARNING, "proxy of the environment ignored"),
    events.WebSocketUnverified: (logging.WARNING, "websocket certificate not verified"),
    events.WebSocketNotOpened: (logging.WARNING, "websocket not opened"),
    events.UdpProbeChanged: (logging.INFO, "udp probe changed"),
    events.PathMemoryNotUsed: (logging.WARNING, "record of networks not used"),
    events.EngineSelected: (logging.INFO, "engine selected"),
    events.EngineSkipped: (logging.WARNING, "engine skipped"),
    events.StartupCheckFailed: (logging.WARNING, "startup check found a problem"),
    events.RemoteStarted: (logging.INFO, "remote started"),
    events.DrainStarted: (logging.INFO, "drain started"),
    events.SignalReceived: (logging.INFO, "signal received"),
    events.ServiceManagerUnreachable: (logging.WARNING, "service manager unreachable"),
    events.InternalErrorOccurred: (logging.ERROR, "internal error"),
    events.CertificateLoaded: (logging.INFO, "certificate loaded"),
    events.CertificateRenewed: (logging.INFO, "certificate renewed"),
    events.CertificateRejected: (logging.WARNING, "new certificate rejected, old one stays in use"),
    events.CertificateOutOfDate: (logging.WARNING, "certificate out of date"),
    events.ConfigurationReloaded: (logging.INFO, "configuration reloaded"),
    events.ConfigurationRejected: (logging.WARNING, "new configuration rejected, old one stays"),
    events.TokenLoaded: (logging.INFO, "token loaded"),
    events.AddedTokensLoaded: (logging.INFO, "added tokens loaded"),
    events.TokenExpired: (logging.WARNING, "token has expired"),
    events.SecretWeak: (logging.WARNING, "token secret is easy to guess"),
    events.PolicyUnused: (logging.WARNING, "policy is for no place"),
    events.SecretExposed: (logging.WARNING, "secret readable by other users"),
    events.WritableByGroup: (logging.WARNING, "directory writable by a group"),
    events.WritableByEveryone: (logging.WARNING, "directory writable by everyone"),
    events.OwnedByAnother: (logging.WARNING, "state owned by another user"),
    events.ResetKeyNotUsed: (logging.WARNING, "reset key not used, restarts are noticed later"),
    events.AdminSocketNotCreated: (logging.WARNING, "admin socket not created"),
    events.AdminLoginFailed: (logging.WARNING, "admin login failed"),
    events.LogLinesLost: (logging.WARNING, "log lines lost"),
    events.AccessLogLinesLost: (logging.WARNING, "access log lines lost"),
    events.AccessLogNotReopened: (logging.WARNING, "access log not reopened"),
    events.QlogEventsLost: (logging.WARNING, "qlog events lost"),
    events.QlogConnectionsSkipped: (logging.WARNING, "connections not recorded in qlog files"),
    events.ResetKeyNotSaved: (logging.WARNING, "reset key not saved, restarts are noticed later"),
}


class EventLog:
    """An `EventSink` that logs every event with one logger.

    Any handler and formatter of `logging` can be used. The record of an event is an `EventRecord`.

    :param without: events that are not logged, because another log has them.
    """

    def __init__(
        self, logger: logging.Logger, without: Collection[type[events.Event]] = frozenset()
    ) -> None:
        self._logger = logger
        self._without = without

    def __call__(self, event: events.Event) -> None:
        """Log an event."""
        level, message = _LINES[type(event)]
        if type(event) not in self._without and self._logger.isEnabledFor(level):
            self._logger.handle(EventRecord(self._logger.name, level, message, event))


def event_kinds() -> Collection[type[events.Event]]:
    """Return all kinds of events."""
    return _LINES.keys()


def make_record(logger: str, event: events.Event) -> EventRecord:
    """Return the record of an event, for a logger of this name."""
    level, message = _LINES[type(event)]
    return EventRecord(logger, level, message, event)
