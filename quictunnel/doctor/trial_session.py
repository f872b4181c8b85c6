"""Check: a real session with the remote: handshake, certificate, proofs, versions and clocks.

It changes nothing at the remote: it has a name of its own, and it leaves before it asks for a
service.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from quictunnel import __version__
from quictunnel.config.addresses import HostPort
from quictunnel.config.ports import AUTO
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import EngineName
from quictunnel.config.tokens import Token
from quictunnel.config.via import Via
from quictunnel.doctor.check import Check
from quictunnel.doctor.clock import compare_clocks, compare_with_certificate
from quictunnel.doctor.finding import Finding, failed, ok, skipped
from quictunnel.doctor.udp_answers import UdpAnswers
from quictunnel.doctor.versions import compare_versions
from quictunnel.doctor.websocket_answers import WebSocketAnswers
from quictunnel.errors import LinkError, Refused
from quictunnel.origin.attempt import Attempt
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.link_dialing import ATTEMPT_TIMEOUT, RemoteAddresses
from quictunnel.origin.offer import Offer
from quictunnel.origin.session import WELCOME_TIMEOUT, OriginSession
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Welcome
from quictunnel.quic.settings import ClientTls, LinkSettings

NAME = "doctor"
"""The start of the name at the remote, and in its log. Two doctors at a time have two names."""

HOLD = 30.0
"""Seconds that the link is kept if this process is killed."""

LINGER = 1.0
"""Seconds; no client comes."""

TOKEN = "token"  # noqa: S105 - the title of a finding

_SERVICE = ServiceSettings(target=HostPort("localhost", 9), name=NAME, ports=AUTO)
"""A hello lists one service. The remote does not judge it, because a complete list is to follow."""

_ADVICE: Mapping[int, str] = {
    Code.BAD_TOKEN: "give this end the token that 'quictunnel token show' or 'quictunnel token "
    "list' shows on the remote; a part of it may be missing",
    Code.NO_TOKEN: "give the remote's token with QUICTUNNEL_TOKEN or --token-file; 'quictunnel "
    "token show' on the remote prints it",
    Code.NOT_PROVEN: "check that --remote is your own machine, and compare the token with what "
    "'quictunnel token show' prints there",
    Code.BAD_CERTIFICATE: "give the remote a valid certificate for this name, correct --ca or "
    "--pin, or leave them out: with a token, they are not needed",
    Code.BAD_VERSION: "use the same version of quictunnel at both ends",
    Code.NOT_ALLOWED: "on the remote, 'quictunnel token list' shows the rights and expiry of "
    "tokens, and 'date' its clock; 'quictunnel token new' creates another token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """The settings of a session."""

    target: HostPort
    """The remote."""

    token: Token | None
    """The token; None if none was given."""

    tls: ClientTls
    """How the remote's certificate is checked."""

    engine: EngineName = "auto"
    """The QUIC engine."""

    via: Via = Via.AUTO
    """The kinds of path that may carry the link."""

    websocket: WebSocketAnswers | None = None
    """Tries the remote's WebSocket; None if there is none."""

    is_websocket_expected: bool = False
    """Whether the user has configured the WebSocket."""


class TrialSession(Check):
    """Connects to the remote as an origin does, and leaves again.

    It uses UDP if that has had an answer, otherwise the WebSocket.

    :param udp: has tried UDP.
    :param needs: the check after which one of the paths works.
    """

    title = "handshake"
    time_limit = ATTEMPT_TIMEOUT + WELCOME_TIMEOUT + 2.0

    def __init__(self, settings: TrialSettings, udp: UdpAnswers, *, needs: Check) -> None:
        self.needs = (needs,)
        self._settings = settings
        self._udp = udp

    async def run(self) -> list[Finding]:
        """Establish a session and close it, or only a link if there is no token."""
        trial = self._settings
        addresses = RemoteAddresses(
            trial.target,
            make_session=partial(OriginSession, _session_settings(trial.token)),
            client_tls=trial.tls,
            settings=LinkSettings(hold=HOLD, engine=trial.engine),
            via=Via.UDP if self._udp.address else Via.WEBSOCKET,
            websocket=None if trial.websocket is None else trial.websocket.websocket,
        )
        if trial.token is None:
            return await self._try_link(addresses)
        try:
            session, welcome = await Attempt(addresses.dial, OriginSession.greet).run()
        except Refused as exc:
            return self._refused(exc)
        except LinkError as exc:
            return [self._link_failed(exc)]
        round_trip = session.link.rtt or 0.0
        received_at = time.time()
        session.abort(Code.NO_ERROR)
        await session.link.wait_closed()
        return [
            ok(self.title, f"the QUIC handshake succeeds, {_trust(trial)}"),
            ok(TOKEN, f"both ends have proven that they know the token {trial.token.id}"),
            *_beyond(welcome, received_at - round_trip / 2),
        ]

    async def _try_link(self, addresses: RemoteAddresses) -> list[Finding]:
        """Make a link without a proof."""
        hint = "no token is given, so the proof was not tried"
        advice = "add --token-file FILE, or set QUICTUNNEL_TOKEN"
        try:
            session = await addresses.dial()
        except Refused as exc:
            return self._refused(exc)
        except LinkError as exc:
            return [self._link_failed(exc)]
        leaf, *_ = session.link.peer_certificates  # the handshake has read them
        session.abort(Code.NO_ERROR)
        await session.link.wait_closed()
        return [
            ok(self.title, f"the QUIC handshake succeeds, {_trust(self._settings)}"),
            skipped(TOKEN, hint, advice),
            *compare_with_certificate(time.time(), leaf.not_valid_before_utc),
        ]

    def _refused(self, exc: Refused) -> list[Finding]:
        advice = _ADVICE.get(exc.code, "look at the remote's log")
        if exc.code == Code.BAD_CERTIFICATE:
            return [failed("certificate of the remote", exc.message, advice)]
        if exc.code == Code.BAD_VERSION:
            return [failed(self.title, exc.message, advice)]
        known = ok(self.title, f"the QUIC handshake succeeds, {_trust(self._settings)}")
        if exc.code == Code.NOT_ALLOWED and exc.is_proven and "expired" not in exc.message:
            # A remote that is too old to wait for the list has judged the placeholder.
            sentence = "both ends have proven that they know the token"
            return [known, ok(TOKEN, sentence), *_beyond(None, time.time())]
        return [known, failed(TOKEN, exc.message, advice)]

    def _link_failed(self, exc: LinkError) -> Finding:
        answers = "the UDP port answers" if self._udp.address else "the WebSocket answers"
        return failed(
            self.title,
            str(exc),
            f"{answers}. If packets are lost, that is the cause. Otherwise look at the remote's "
            "log: it may be overloaded, or another program may have the port",
        )


def _session_settings(token: Token | None) -> OriginSessionSettings:
    return OriginSessionSettings(
        name=f"{NAME}-{secrets.token_hex(4)}",
        instance="",
        token=token,
        offer=Offer({_SERVICE.name: ExposedService(_SERVICE)}, withdrawn=(_SERVICE.name,)),
        hold=HOLD,
        linger=LINGER,
        max_clients=1,
    )


def _trust(trial: TrialSettings) -> str:
    """Return how the certificate was checked."""
    tls = trial.tls
    if tls.pin is not None:
        return "and the certificate is the pinned one"
    if tls.verify == "none":
        why = "" if trial.token is None else ", because the token is"
        return f"with a certificate that is not checked{why}"
    return f"and the certificate is valid for {tls.server_name}"


def _beyond(welcome: Welcome | None, sent_at: float) -> list[Finding]:
    """Return the findings about what the remote says of itself.

    :param sent_at: when the welcome was sent, on this machine's clock.
    """
    agent = "" if welcome is None else welcome.agent
    findings = [compare_versions(__version__, agent)]
    if welcome is None or welcome.time is None:
        return [*findings, skipped("clocks", "the remote is too old to say what its clock shows")]
    return [*findings, compare_clocks(here=sent_at, remote=welcome.time)]
