"""The origin's end of one link: hello, the remote's proof, then a connection for each client.

Until the remote has proven that it knows the token, the session reads no stream of a client and
connects to no origin server.
"""

from __future__ import annotations

import asyncio
from functools import partial

from quictunnel import __version__, events
from quictunnel.errors import LinkFailed, LinkLost, ProtocolError, Refused
from quictunnel.escaping import cut_name, cut_sentence
from quictunnel.origin.listing import Listing
from quictunnel.origin.offer import Offer
from quictunnel.origin.pending_stream import PREAMBLE_TIMEOUT, PendingStream
from quictunnel.origin.session_life import SessionLife
from quictunnel.origin.session_settings import OriginSessionSettings
from quictunnel.origin.upstream import ConnectAttempt, ConnectError, Upstream
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import Hello, Message, RefusedMessage, Services, Welcome
from quictunnel.protocol.preamble import Preamble
from quictunnel.protocol.proof import check, prove
from quictunnel.quic.link import Link
from quictunnel.quic.stream import Stream
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.relay import Relay, RelayEnd
from quictunnel.relay.timers import SharedTimer
from quictunnel.session.clients import Client
from quictunnel.session.control_stream import ControlStream
from quictunnel.session.endings import code_ending
from quictunnel.session.gate import Gate
from quictunnel.session.session import Session
from quictunnel.session.state import State

WELCOME_TIMEOUT = 10.0
"""Seconds from the hello to the answer. The remote delays it by one if the proof is wrong."""

STREAMS_BEFORE_PROOF = 64
"""Streams that the remote may open before its proof is read. They may overtake its welcome."""

FINAL_CODES = frozenset(
    {
        Code.BAD_CERTIFICATE,
        Code.BAD_TOKEN,
        Code.BAD_VERSION,
        Code.NOT_ALLOWED,
        Code.NOT_PROVEN,
        Code.NO_TOKEN,
        Code.SERVICE_TAKEN,
        Code.TAKEN_OVER,
    }
)
"""The remote's codes after which another attempt would end in the same way."""

WRONG_PROOF = (
    "the remote's proof is wrong: the token differs, or something in between terminates TLS"
)
"""The sentence for a remote that does not prove that it knows the token."""

COMPARE_TOKENS = "compare it with what 'quictunnel token show' prints on the remote"
"""The advice that follows when the remote does not accept the token."""


UNHEARD = 3.0
"""Seconds without a packet of the remote, after which a missing preamble may still arrive. The
streams keep the link busy, so it is heard every second unless something is wrong."""


class OriginSession(Session):
    """The origin's end of one link."""

    def __init__(
        self, settings: OriginSessionSettings, emit: events.EventSink = events.discard_event
    ) -> None:
        super().__init__("origin server", emit)
        self.life = SessionLife()
        """Whether the remote answers, and whether new clients come."""
        self.is_replaced = False
        """Whether another session has been established since this one began to leave."""
        self._settings = settings
        self._linger_timer = IdleTimer(settings.linger, Relay.linger_expired)
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self.listing = Listing(settings.offer, self._send_list, emit)
        """The services, and which of them the remote grants."""
        self._pending_streams: set[PendingStream] = set()
        self.preamble_timer = SharedTimer(PREAMBLE_TIMEOUT, self._preamble_timed_out, self._loop)

    async def greet(self) -> Welcome:
        """Send the hello, and return the remote's welcome once its proof is verified.

        :raises Refused: the remote refuses the origin, or cannot prove that it knows the token.
        :raises LinkFailed: the remote does not answer, or breaks the protocol.
        """
        settings, link = self._settings, self.link
        token = settings.token
        self._control = ControlStream(self)
        try:
            link.open_stream(self._control)
            self._control.send(
                Hello(
                    version=VERSION,
                    agent=f"quictunnel/{__version__}",
                    name=settings.name,
                    token_id=token.id if token else "",
                    proof=prove(token.secret, "origin", link.exporter) if token else "",
                    services=self.listing.hello.requests,
                    hold=settings.hold,
                    instance=settings.instance,
                    take_over=settings.take_over,
                    services_follow=not self.listing.hello.is_complete,
                )
            )
            timed_out = LinkFailed("the remote does not answer")
            self._set_deadline(WELCOME_TIMEOUT, lambda: self._abandon_greeting(timed_out))
            return await self._welcome
        except BaseException:
            self.close(Code.NO_ERROR)
            raise

    def start_serving(self, offer: Offer) -> None:
        """Expose these services, now that the session is established, and report the granted ones.

        If the remote has not judged this list yet, the report follows its answer.
        """
        self.listing.open(offer)

    def change_offer(self, offer: Offer) -> None:
        """Expose these services from now on. Clients of services that are gone may finish."""
        self.listing.change(offer)

    def origin_address(self) -> str:
        """Return this end's host. The port differs for each socket and has no meaning."""
        return self.link.local.host

    def stopped_accepting(self) -> None:
        """Enter the leaving phase, unless the link is closed and the session ends now."""
        if self.state.is_leaving:
            self.life.leave()

    # -- The link

    def link_made(self, link: Link) -> None:
        """Take the link. The hello is sent by `greet`."""
        super().link_made(link)
        link.allow_streams(STREAMS_BEFORE_PROOF)

    def link_silent(self) -> None:
        """Enter the silent phase."""
        super().link_silent()
        self.life.set_silent(is_silent=True)

    def link_back(self) -> None:
        """Leave the silent phase."""
        super().link_back()
        self.preamble_timer.restart_all()
        self.life.set_silent(is_silent=False)

    def link_ended(
        self, exc: Exception | None, reason: str, kind: events.LinkEnding, *, is_wanted: bool
    ) -> None:
        """Report the loss of the link, unless this end wanted it or the remote left in order."""
        by_goodbye = isinstance(exc, LinkLost) and exc.code == Code.GOODBYE
        is_expected = is_wanted or (by_goodbye and self.is_replaced)
        if isinstance(exc, LinkLost) and exc.code in FINAL_CODES:
            # No `LinkDropped`: if the session was established, the origin does not reconnect, and
            # its error says why.
            self._fail_greeting(_refusal(exc.code, reason, is_proven=self._is_proof("")))
            self.life.end(exc)
            return
        if not is_expected or self.silent_for is not None:
            self.report_dropped(reason, kind)
        self._fail_greeting(LinkFailed(reason))
        self.life.end(exc)

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Return the protocol that reads the preamble, once the remote has proven itself."""
        pending = PendingStream(self, may_read=self.state is not State.GREETING)
        self._pending_streams.add(pending)
        return pending

    # -- Messages

    def greeting_received(self, message: Message) -> None:
        """Handle the remote's answer to the hello.

        :raises ProtocolError: it is another message.
        """
        if isinstance(message, RefusedMessage):
            sentence = self.listing.explain(cut_sentence(message.message))
            is_proven = self._is_proof(message.proof)
            self._abandon_greeting(_refusal(message.code, sentence, is_proven=is_proven))
        elif isinstance(message, Welcome):
            self._check_welcome(message)
        else:
            raise ProtocolError(f"{type(message).__name__} instead of a welcome")

    def message_received(self, message: Message) -> None:
        """Handle a new list of granted services, or a part of one.

        :raises ProtocolError: the message only starts a session, or only origins send it, or it is
            not the next part.
        """
        if not isinstance(message, Services):
            raise ProtocolError(f"{type(message).__name__} in an established session")
        self.listing.received(message)

    def control_violated(self, error: ProtocolError) -> None:
        """Close the link of a remote that breaks the protocol."""
        super().control_violated(error)
        sentence = cut_sentence(str(error))
        self._fail_greeting(LinkFailed(f"the remote breaks the protocol: {sentence}"))

    # -- Streams

    def preamble_received(self, stream: Stream, preamble: Preamble, rest: bytes) -> None:
        """Relay a client's stream to a new connection to the origin server."""
        client = Client(
            id=None if preamble.client_id is None else cut_name(preamble.client_id),
            address=preamble.client,
            outside=preamble.outside,
            service=preamble.service or "",
            accepted_at=self._loop.time(),
        )
        service = self.listing.offer.services.get(client.service)
        upstream = None if service is None else service.upstream(preamble)
        if service is None or upstream is None:
            name = cut_name(client.service)
            self._emit(events.UnknownServiceRequested(name, client.text, client.id))
            stream.reset(Code.UNKNOWN_SERVICE)
            return
        if (rejection := service.gate.enter(client.address)) is not None:
            address = client.text or "unknown"
            self._emit(events.ClientRejected(address, rejection.reason, rejection.kind))
            stream.reset(Code.REJECTED)
            return
        self._emit(client.accepted())
        relay = self._start_relay(client, service.gate, upstream, service.header(preamble))
        stream.set_protocol(relay.stream)
        relay.stream.connection_made(stream)
        if rest:
            relay.stream.take_over(rest)

    def preamble_rejected(self, reason: str) -> None:
        """Report a stream without a valid preamble."""
        self._emit(events.PreambleRejected(str(self.link.peer), cut_sentence(reason)))

    def pending_stream_ended(self, pending: PendingStream) -> None:
        """Remove a stream that was handed over, or is closed."""
        self._pending_streams.discard(pending)

    # -- Inside

    def _check_welcome(self, welcome: Welcome) -> None:
        if not self._is_proof(welcome.proof):
            self._abandon_greeting(Refused(Code.NOT_PROVEN, WRONG_PROOF))
            return
        token = self._settings.token
        self.peer_agent = cut_name(welcome.agent)
        self.listing.welcomed(welcome, str(self.link.peer))
        self._establish(origin=self._settings.name, token=token.id if token else None)
        self.link.allow_streams(max(STREAMS_BEFORE_PROOF, self._settings.max_clients))
        # The task in `greet` runs before a preamble is decoded, so the link is reported first.
        self._welcome.set_result(welcome)
        for pending in tuple(self._pending_streams):
            pending.start_reading()

    def _is_proof(self, proof: str) -> bool:
        """Return whether this proves that the peer is the remote.

        Without a token, the certificate was verified, and that is the only proof.
        """
        token = self._settings.token
        return token is None or check(token.secret, "remote", self.link.exporter, proof)

    def _send_list(self, part: Services) -> None:
        if self.state is State.ESTABLISHED:
            self._send(part)

    def _abandon_greeting(self, error: Refused | LinkFailed) -> None:
        """Fail the greeting and close the link."""
        self._fail_greeting(error)
        # The remote knows why it has refused the origin. It does not know that its proof is wrong.
        not_proven = isinstance(error, Refused) and error.code == Code.NOT_PROVEN
        self.close(Code.NOT_PROVEN if not_proven else Code.NO_ERROR, str(error))

    def _fail_greeting(self, error: Exception) -> None:
        if not self._welcome.done():
            self._welcome.set_exception(error)
            # Mark it as retrieved: asyncio logs an exception that no task waits for.
            self._welcome.exception()

    def _preamble_timed_out(self, pending: PendingStream) -> None:
        """Reset a stream without a preamble. A silent link delivers nothing: wait again."""
        if self.link.is_silent or self.link.unheard_for > UNHEARD:
            self.preamble_timer.start(pending)
        else:
            pending.time_out()

    def _start_relay(self, client: Client, gate: Gate, upstream: Upstream, header: bytes) -> Relay:
        """Start to connect to the origin server, and return the client's relay.

        :param gate: has counted the client.
        :param header: the bytes that precede the client's.
        """
        attempt: ConnectAttempt | None = None

        def left(_: RelayEnd) -> None:
            gate.leave(client.address)
            if attempt is not None:
                attempt.cancel()

        relay = self.clients.add(
            client,
            lambda on_end: Relay(
                linger_timer=self._linger_timer,
                loop=self._loop,
                on_end=on_end,
                tcp_reset_code=Code.ORIGIN_RESET,
                limits=gate.limits(),
            ),
            on_end=left,
        )
        if header:
            relay.tcp.write(header)
        on_failure = partial(self._connect_failed, relay, client, upstream)
        attempt = upstream.connect(relay.tcp, on_failure)
        return relay

    def _connect_failed(
        self, relay: Relay, client: Client, upstream: Upstream, exc: Exception
    ) -> None:
        """Reset the stream of a client whose origin server cannot be reached."""
        if isinstance(exc, ConnectError):
            target, error, kind = str(upstream.target), exc.code.word, code_ending(exc.code)
            self._emit(events.ConnectFailed(target, error, str(exc), client.id, kind))
            relay.abort(exc.code)
        else:
            activity = "connecting to the origin server"
            self._emit(events.InternalErrorOccurred(activity, exc, client.id))
            relay.abort(Code.INTERNAL)


def _refusal(code: int, sentence: str, *, is_proven: bool) -> Refused:
    if code == Code.BAD_TOKEN:
        sentence = f"{sentence}; {COMPARE_TOKENS}"
    return Refused(code, sentence, is_proven=is_proven)
