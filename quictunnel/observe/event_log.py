"""Logs events. Each kind of event has a level and a message; its fields become `key=value`."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import NamedTuple

from quictunnel import events
from quictunnel.observe.log_format import EventRecord


class _Line(NamedTuple):
    level: int
    message: str


_LINES: dict[type[events.Event], _Line] = {
    events.ClientAccepted: _Line(logging.INFO, "client accepted"),
    events.ClientClosed: _Line(logging.INFO, "client closed"),
    events.ClientRejected: _Line(logging.WARNING, "client rejected"),
    events.ClientLimitReached: _Line(logging.WARNING, "too many clients, rejecting new ones"),
    events.AcceptPaused: _Line(logging.WARNING, "accept paused"),
    events.ConnectFailed: _Line(logging.WARNING, "connect to origin server failed"),
    events.UnknownServiceRequested: _Line(logging.WARNING, "unknown service requested"),
    events.PreambleRejected: _Line(logging.WARNING, "preamble rejected"),
    events.OriginConnected: _Line(logging.INFO, "origin connected"),
    events.OriginDisconnected: _Line(logging.INFO, "origin disconnected"),
    events.OriginRejected: _Line(logging.WARNING, "origin rejected"),
    events.ProofFailed: _Line(logging.WARNING, "proof failed"),
    events.HelloTimedOut: _Line(logging.WARNING, "hello timed out"),
    events.ServicesRefused: _Line(logging.WARNING, "services refused"),
    events.LinkSilent: _Line(logging.WARNING, "link silent"),
    events.LinkRecovered: _Line(logging.INFO, "link recovered"),
    events.LinkMoved: _Line(logging.INFO, "link moved"),
    events.LinkDropped: _Line(logging.WARNING, "link lost"),
    events.GoodbyeReceived: _Line(logging.INFO, "goodbye received"),
    events.ProtocolViolated: _Line(logging.WARNING, "protocol violation"),
    events.LinkEstablished: _Line(logging.INFO, "link established"),
    events.LinkAttemptFailed: _Line(logging.WARNING, "connect failed, retrying"),
    events.ServicesGranted: _Line(logging.INFO, "services granted"),
    events.OriginServerMissing: _Line(logging.WARNING, "origin server not listening yet"),
    events.PathAttempted: _Line(logging.DEBUG, "path attempted"),
    events.EngineSelected: _Line(logging.INFO, "engine selected"),
    events.EngineSkipped: _Line(logging.WARNING, "engine skipped"),
    events.RemoteStarted: _Line(logging.INFO, "remote started"),
    events.DrainStarted: _Line(logging.INFO, "drain started"),
    events.SignalReceived: _Line(logging.INFO, "signal received"),
    events.InternalErrorOccurred: _Line(logging.ERROR, "internal error"),
    events.CertificateLoaded: _Line(logging.INFO, "certificate loaded"),
    events.CertificateRenewed: _Line(logging.INFO, "certificate renewed"),
    events.CertificateRejected: _Line(
        logging.WARNING, "new certificate rejected, old one stays in use"
    ),
    events.CertificateOutOfDate: _Line(logging.WARNING, "certificate out of date"),
    events.TokenLoaded: _Line(logging.INFO, "token loaded"),
    events.SecretExposed: _Line(logging.WARNING, "secret readable by other users"),
    events.ResetKeyNotSaved: _Line(
        logging.WARNING, "reset key not saved, restarts are noticed later"
    ),
}

_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _LINES}


class EventLog:
    """An `EventSink` that logs every event with one logger.

    Any handler and formatter of `logging` can be used. The record of an event is an `EventRecord`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, event: events.Event) -> None:
        """Log an event."""
        kind = type(event)
        level, message = _LINES[kind]
        if self._logger.isEnabledFor(level):
            values = {name: getattr(event, name) for name in _FIELDS[kind]}
            self._logger.handle(EventRecord(self._logger.name, level, message, event, values))
