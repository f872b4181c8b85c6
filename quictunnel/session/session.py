"""One link and its clients, as both roles see them: acts on what `state` decides.

`remote.session` and `origin.session` describe how the two ends authenticate each other.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from quictunnel.errors import LinkForgotten, LinkLost, ProtocolError
from quictunnel.escaping import cut_sentence
from quictunnel.events import EventSink, GoodbyeReceived, LinkEnding, ProtocolViolated
from quictunnel.protocol.codes import Code, describe
from quictunnel.protocol.link_id import link_id
from quictunnel.protocol.messages import Goodbye, Message
from quictunnel.quic.link import Link
from quictunnel.quic.stream import Stream
from quictunnel.session.clients import Clients, TcpSide
from quictunnel.session.control_stream import ControlStream
from quictunnel.session.endings import link_ending
from quictunnel.session.link_reporter import LinkReporter
from quictunnel.session.state import Input, State, StateMachine

CLOSE_TIMEOUT = 2.0
"""Seconds for the last acknowledgements of a link: several round trips, even over satellite."""

MAX_PEER_GRACE = 3600.0
"""Seconds that a peer may keep a link after its goodbye, however long a grace it asks for."""

MAX_CLOSE_REASON = 256
"""Bytes of the reason that a link is closed with. It must fit into one packet (RFC 9000, 19.19),
and it may quote the peer."""

FORGOTTEN = "the remote has dropped this link: it was restarted, or another origin has taken over"
"""The reason after a stateless reset, which only a remote sends."""

CLOSED_HERE = "closed by this end"
"""The reason when this end has closed a link and gave none."""


def describe_link_end(exc: Exception | None) -> str:
    """Return the reason why a link ended, from the argument of `link_lost`."""
    if isinstance(exc, LinkForgotten):
        return FORGOTTEN
    if isinstance(exc, LinkLost):
        return exc.reason or describe(exc.code)
    return CLOSED_HERE if exc is None else str(exc)


class Session(ABC):
    """One link and its clients: the base of each role's session, and the link's `LinkProtocol`.

    :param tcp_side: where the relays' TCP connections lead to at this end.
    """

    def __init__(self, tcp_side: TcpSide, emit: EventSink) -> None:
        self.clients = Clients(tcp_side, emit)
        self.close_reason = ""
        """Why this end closes or has closed the link, for logs; empty until it does."""
        self.link_id = ""
        """Identifies the link in events of both ends; empty until the session is established."""
        self.established_at: float | None = None
        """When the session was established, in seconds of the loop's clock."""
        self.origin_name = ""
        """The name of the link's origin, safe to show; empty until the session is established."""
        self.origin_token: str | None = None
        """The id of its token, safe to show; None if it has none."""
        self.peer_agent = ""
        """The peer's program and version, as it reports them; empty if it does not."""
        self._closed_with: Code | None = None
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._life = StateMachine()
        self._link: Link | None = None
        self._control: ControlStream | None = None
        self._reporter: LinkReporter | None = None
        self._farewell = (Code.GOODBYE, "")
        """The code and the reason for the peer when the session ends in order."""
        self._deadline: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """How far the session is."""
        return self._life.state

    @property
    def link(self) -> Link:
        """The link, from `link_made` on."""
        if self._link is None:
            raise RuntimeError("the session has no link yet")
        return self._link

    @property
    def is_usable(self) -> bool:
        """Whether a new client can be forwarded over this link now."""
        link = self._link  # without the calls of properties, because each client needs it
        if link is None or self._life.state is not State.ESTABLISHED:
            return False
        return not (link.is_closed or link.is_silent)

    @property
    def silent_for(self) -> float | None:
        """Seconds since the peer of an established session was last heard; None if not silent."""
        return None if self._reporter is None else self._reporter.silent_for

    # -- Implemented by each role

    @abstractmethod
    def greeting_received(self, message: Message) -> None:
        """Handle a message that came before the session is established.

        :raises ProtocolError: the message is not allowed now.
        """

    @abstractmethod
    def message_received(self, message: Message) -> None:
        """Handle a message other than `goodbye` once the session is established.

        :raises ProtocolError: the message is not allowed now.
        """

    @abstractmethod
    def origin_address(self) -> str:
        """Return the origin's current address, as this end sees it."""

    @abstractmethod
    def stopped_accepting(self) -> None:
        """Stop using an established session for new clients. Called once, when it starts to end."""

    @abstractmethod
    def link_ended(
        self, exc: Exception | None, reason: str, kind: LinkEnding, *, is_wanted: bool
    ) -> None:
        """Handle the end of the link: called once, after all else.

        :param exc: as in `link_lost`.
        :param reason: why, for logs.
        :param kind: the same in a word.
        :param is_wanted: whether this end had closed the link or said goodbye.
        """

    # -- Ways to end

    def say_goodbye(self, reason: str, grace: float) -> None:
        """Start to leave in order: no new clients, current ones have `grace` seconds to finish."""
        if self.state in (State.GREETING, State.REFUSED):
            self.close(Code.GOODBYE, reason)
        elif self._apply(Input.GOODBYE):
            self._farewell = (Code.GOODBYE, reason)
            self._send(Goodbye(reason=reason, grace=grace))
            self._drain(grace)

    def abort(self, code: Code = Code.GOODBYE, reason: str = "") -> None:
        """Close the link at once and reset all clients."""
        self.clients.abort(Code.CUT_SHORT if code is Code.GOODBYE else code)
        self.close(code, reason)

    def close(self, code: Code, reason: str = "") -> None:
        """Close the link at once. Its clients lose what they have not sent yet."""
        if self.state.is_over:
            return
        self._apply(Input.CLOSE)
        self._closed_with = code
        self._cancel_timers()
        self.close_reason = self.close_reason or reason or code.word
        if self._link is not None:
            text = (reason or code.word).encode(errors="replace")[:MAX_CLOSE_REASON]
            self._link.close(code, text.decode(errors="ignore"))

    # -- The link

    def link_made(self, link: Link) -> None:
        """Take the link, whose handshake is complete."""
        self._link = link
        self.clients.on_left = self._advance

    @abstractmethod
    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Return the protocol of a stream that the peer has opened."""

    def link_silent(self) -> None:
        """Report the silence. A session without clients that leaves does not wait for long."""
        if self._reporter is not None:
            self._reporter.link_silent()
        self._advance()

    def link_back(self) -> None:
        """Report the recovery. A session that leaves continues to leave in order."""
        if self._reporter is not None:
            self._reporter.link_back()
        if self._grace is not None:
            self._clear_deadline()
            self._advance()

    def link_moved(self) -> None:
        """Report the new path."""
        if self._reporter is not None:
            self._reporter.link_moved()

    def link_lost(self, exc: Exception | None) -> None:
        """End with the link; its streams have already told their relays."""
        is_wanted = exc is None or self.state.is_end_wanted
        self._apply(Input.LINK_LOST)
        self._cancel_timers()
        reason = self.close_reason if exc is None else describe_link_end(exc)
        kind = link_ending(exc, self._closed_with)
        self.link_ended(exc, reason or CLOSED_HERE, kind, is_wanted=is_wanted)
        if self._reporter is not None:
            self._reporter.stop()
        # These refer to the session. It would keep the link's memory until the garbage collector
        # runs, and attackers make many links.
        self.clients.on_left = self._control = self._reporter = None

    # -- The control stream

    def control_message(self, message: Message) -> None:
        """Handle a message of the peer; ignore it after the link was closed.

        :raises ProtocolError: the message is not allowed now.
        """
        if self.state.is_over:
            return
        if isinstance(message, Goodbye):
            self._goodbye_received(message)
        elif self.state in (State.GREETING, State.REFUSED):
            self.greeting_received(message)
        else:
            self.message_received(message)

    def control_eof(self) -> None:
        """Handle the end of the peer's messages.

        :raises ProtocolError: the session was neither refused nor leaving.
        """
        self._apply(Input.PEER_EOF)

    def control_finished(self) -> None:
        """Handle the end of the whole control stream.

        :raises ProtocolError: the session was neither refused nor leaving.
        """
        self._apply(Input.FINISHED)
        self._advance()

    def control_violated(self, error: ProtocolError) -> None:
        """Close the link of a peer that breaks the protocol."""
        if not self.state.is_over:
            reason = cut_sentence(str(error))
            self._emit(ProtocolViolated(peer=str(self.link.peer), reason=reason))
            self.close(Code.PROTOCOL_VIOLATION, str(error))

    # -- For roles

    def _establish(self, *, origin: str, token: str | None) -> None:
        """Enter the established state: the peer has proven that it knows the token.

        :param origin: the name of the link's origin.
        :param token: the id of its token, if it has one.
        """
        self._apply(Input.WELCOME)
        self._clear_deadline()
        self.link_id = link_id(self.link.exporter)
        self.established_at = self._loop.time()
        self.origin_name, self.origin_token = origin, token
        self._reporter = LinkReporter(
            self.link,
            self._emit,
            link_id=self.link_id,
            origin=origin,
            token=token,
            locate=self.origin_address,
            count_clients=lambda: len(self.clients),
        )
        self.link.trust()

    def _send(self, message: Message) -> None:
        if self._control is not None:
            self._control.send(message)

    def report_dropped(self, reason: str, kind: LinkEnding) -> None:
        """Report the link as dropped if the session was established, and nothing after that."""
        if self._reporter is not None:
            self._reporter.link_dropped(reason, kind)
            self._reporter.stop()
            self._reporter = None

    def _apply(self, happened: Input) -> bool:
        """Go to the next state, and return whether it is another one."""
        was_established = self.state is State.ESTABLISHED
        has_changed = self._life.apply(happened)
        if was_established and has_changed:
            self.stopped_accepting()
        return has_changed

    def _set_deadline(self, delay: float, callback: Callable[[], None]) -> None:
        """Set the time limit of the current step, instead of the limit before."""
        self._clear_deadline()
        self._deadline = self._loop.call_later(delay, callback)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_in_order(self) -> None:
        """Close the link with the goodbye's reason, or with the refusal's."""
        self.clients.abort(Code.CUT_SHORT)
        self.close(*self._farewell)

    # -- Leaving

    def _goodbye_received(self, message: Goodbye) -> None:
        was_established = self.state is State.ESTABLISHED
        if not self._apply(Input.PEER_GOODBYE):
            return
        reason = cut_sentence(message.reason)
        self._emit(GoodbyeReceived(str(self.link.peer), reason, message.grace))
        if was_established:
            # The peer cuts its clients when its grace is over. This is for a peer that does not.
            self._drain(min(message.grace, MAX_PEER_GRACE) + 2 * CLOSE_TIMEOUT)

    def _drain(self, grace: float) -> None:
        if self._grace is not None:
            self._grace.cancel()
        self._grace = self._loop.call_later(grace, self._grace_over)
        self._advance()

    def _grace_over(self) -> None:
        self._grace = None
        # Set before the clients are aborted: the last one's end may close the link.
        self._set_deadline(CLOSE_TIMEOUT, self._close_in_order)
        self.clients.abort(Code.CUT_SHORT)
        self._advance()

    def _advance(self) -> None:
        """Take the next step of an orderly end, if no client is left."""
        if not self.state.is_leaving or self.clients or self._control is None:
            return
        self._control.finish()
        if self.state is State.CLOSE_WHEN_IDLE:
            self._close_in_order()
        elif self.state is State.AWAITING_CLOSE or self.link.is_silent:
            self._set_deadline(CLOSE_TIMEOUT, self._close_in_order)

    def _cancel_timers(self) -> None:
        self._clear_deadline()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
