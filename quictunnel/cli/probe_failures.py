"""Explains why a probe has failed: what has happened, and the likely cause."""

from __future__ import annotations

import http
import http.client
import socket
import ssl
from typing import Literal, TypeAlias

from quictunnel.config.files import why
from quictunnel.config.units import format_duration

NO_ORIGIN = "no origin serves this address, or its server refuses connections"
"""The cause of a reset. The remote accepts a client before it knows whether it can be served."""

Phase: TypeAlias = Literal["look up", "connect", "tls", "answer", "content"]
"""How far a probe has come: it looks up the name, connects, completes the TLS handshake, waits for
the first byte, or reads the rest."""

_GATEWAY = (
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
)


def explain(
    exc: OSError | http.client.HTTPException, phase: Phase, place: str, timeout: float
) -> str:
    """Return the sentence about an error.

    :param phase: the phase in which it was raised.
    :param place: the address, or the name before there is one.
    :param timeout: the seconds that the probe has had.
    """
    if isinstance(exc, TimeoutError):
        return _explain_timeout(phase, place, format_duration(timeout))
    if isinstance(exc, socket.gaierror):
        return f"the name {place} does not resolve: {why(exc).lower()}"
    if isinstance(exc, ssl.SSLError):
        return _explain_tls(exc)
    # A reset may come before the system has reported that the connection was there.
    if phase == "connect" and not isinstance(exc, ConnectionResetError):
        return _explain_connect(exc, place)
    return _explain_answer(exc, phase)


def explain_status(status: int) -> str:
    """Return the sentence about a status of HTTP that means an error."""
    if status in _GATEWAY:
        return f"the status is {status}: a proxy before or behind the tunnel gets no answer"
    return f"the status is {status}: the server has an error of its own"


def _explain_timeout(phase: Phase, place: str, limit: str) -> str:
    match phase:
        case "look up":
            return f"the name {place} was not resolved within {limit}"
        case "connect":
            return (
                f"{place} did not answer within {limit}: the machine is down, or a firewall drops "
                "connections"
            )
        case "content":
            return f"the answer was not complete within {limit}"
        case _:
            return (
                f"connected, but no answer within {limit}: the origin does not answer the remote, "
                "or its server hangs"
            )


def _explain_answer(exc: Exception, phase: Phase) -> str:
    if phase == "content":
        return "the answer was cut off before its end: its server, or the link, has ended it"
    if isinstance(exc, http.client.HTTPException):
        return "the answer is no valid HTTP: is it another port, or https:// instead of http://?"
    return f"the connection was reset: {NO_ORIGIN}"


def _explain_connect(exc: Exception, place: str) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return f"{place} refuses connections: no remote listens there, or a firewall rejects them"
    return f"cannot connect to {place}: {why(exc) if isinstance(exc, OSError) else exc}"


def _explain_tls(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"the connection was closed during TLS: {NO_ORIGIN}"
    if exc.reason == "TLSV1_UNRECOGNIZED_NAME":
        return f"the host name is not known there: {NO_ORIGIN}"
    if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return "the server does not speak TLS at this port: is it http:// instead of https://?"
    return f"TLS failed: {exc.reason or why(exc)}"
