"""Logs events: an event's level, message and fields."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import NamedTuple

from quictunnel import events
from quictunnel.observe.logging_setup import fact


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
    events.PathAttempted: _Line(logging.DEBUG, "path attempted"),
    events.EngineSelected: _Line(logging.INFO, "engine selected"),
    events.EngineSkipped: _Line(logging.WARNING, "engine skipped"),
    events.RemoteStarted: _Line(logging.INFO, "remote started"),
    events.DrainStarted: _Line(logging.INFO, "drain started"),
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

_FIELDS = {
    kind: tuple(field.name for field in fields(kind) if field.name != "exception")
    for kind in _LINES
}


class EventLog:
    """An `EventSink` that logs every event with one logger."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, event: events.Event) -> None:
        """Log an event."""
        line = _LINES[type(event)]
        if not self._logger.isEnabledFor(line.level):
            return
        values = {name: _value(getattr(event, name)) for name in _FIELDS[type(event)]}
        error = getattr(event, "exception", None)
        fact(self._logger, line.level, line.message, exc_info=error, **values)


def _value(value: object) -> object:
    """Return a field's value as it is logged: a tuple as its members' text."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value
