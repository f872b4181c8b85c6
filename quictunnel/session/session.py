"""What both roles' sessions share: the life of one link, from its handshake to its last word.

    NEW ──greeting──▶ STANDING ──goodbye, of either end──▶ LEAVING ──▶ ENDED
     └───── refused, or the peer is silent: closed ─────────────────────▲

How an orderly farewell goes, so that no byte of a present client is lost: one end says goodbye.
From then on the remote opens no new streams on the link. Each end ends its direction of the
control stream when it has no client left; once both directions have ended and are acknowledged,
whoever said goodbye closes the link. Clients that outstay the grace are cut. An end without
clients does not wait for a silent peer.

How two ends come to trust each other is written in `remote.session` and `origin.session`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from quictunnel.errors import LinkForgotten, LinkLost, ProtocolError
from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.codes import Code, describe
from quictunnel.protocol.messages import Goodbye, Message
from quictunnel.quic import Link, LinkProtocol
from quictunnel.session.clients import Clients
from quictunnel.session.control import ControlStream
from quictunnel.session.link_reporter import LinkReporter, LinkState

FAREWELL = 2.0
"""Seconds for the last acknowledgements of a link: several round trips, even over satellites."""

MAX_PEER_GRACE = 3600.0
"""Seconds that a peer may keep a link after its goodbye, whatever it asks for."""

MAX_REASON = 256
"""Bytes of the words with which a link is closed: they must fit into one packet (RFC 9000, 19.19),
and may quote what the peer has said."""

FORGOTTEN = "the remote does not know the link any more, as after a restart"
"""What a stateless reset says. Only remotes send them."""


def why_ended(exc: Exception | None) -> str:
    """Return words for what ended a link, as `link_lost` told it."""
    if isinstance(exc, LinkForgotten):
        return FORGOTTEN
    if isinstance(exc, LinkLost):
        return exc.reason or describe(exc.code)
    return "closed by us" if exc is None else str(exc)


class State(enum.Enum):
    """Where a session is in its life; it only ever moves downwards."""

    NEW = "new"
    STANDING = "standing"
    LEAVING = "leaving"
    CLOSING = "closing"
    ENDED = "ended"


class Session(LinkProtocol):
    """One link and its clients; subclassed by each role.

    :param tcp_side: whom the relays' TCP connections lead to at this end.
    :param on_end: called exactly once, with what ended the link (None: we did).
    :param on_state: called when the link falls silent, is back, or is lost.
    """

    def __init__(
        self,
        logger: logging.Logger,
        tcp_side: Literal["client", "origin server"],
        on_end: Callable[[Exception | None], None],
        on_state: Callable[[LinkState], None],
    ) -> None:
        self.state = State.NEW
        self.clients = Clients(logger, tcp_side, self._settle)
        self.states = LinkReporter(
            logger,
            on_state,
            whose=self.whose,
            where=self.where,
            streams=lambda: len(self.clients),
        )
        self._logger = logger
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._control: ControlStream | None = None
        self._control_finished = False
        self._said_goodbye = False
        self._heard_goodbye = False
        self._grace_ends = 0.0
        self.why_closed = "closed by us"
        """Words for what this end has closed the link for; these until it has, or if others do."""
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def link(self) -> Link:
        """The link, from `link_made` on."""
        if self._link is None:
            raise RuntimeError("the session has no link yet")
        return self._link

    @property
    def is_usable(self) -> bool:
        """Whether a new client may be brought over this link now."""
        if self.state is not State.STANDING:
            return False
        return not (self.link.is_closed or self.link.is_silent)

    # -- What a role adds

    @abstractmethod
    def greeting_message(self, message: Message) -> None:
        """Take a message before the session stands.

        :raises ProtocolError: when it may not come now.
        """

    @abstractmethod
    def standing_message(self, message: Message) -> None:
        """Take a message other than goodbye once it stands, or is leaving.

        :raises ProtocolError: when it may not come now.
        """

    @abstractmethod
    def whose(self) -> dict[str, Any]:
        """Return what the log says of whose link it is."""

    @abstractmethod
    def where(self) -> str:
        """Return where the origin is now, as far as this end sees it."""

    def leaving(self) -> None:
        """Learn that no new client may be brought over this link any more."""

    # -- Orderly ways out

    def say_goodbye(self, reason: str, grace: float) -> None:
        """Begin to leave: no new clients, the present ones have `grace` seconds to finish."""
        if self.state not in (State.STANDING, State.LEAVING) or self._control is None:
            self.close(Code.GOODBYE, reason)
            return
        if self._said_goodbye:
            return
        self._said_goodbye = True
        self._control.send(Goodbye(reason=reason, grace=grace))
        self._leave(grace)

    def abort(self, code: Code = Code.GOODBYE, reason: str = "") -> None:
        """End link and clients at once: their TCP connections are reset."""
        self.clients.cut(Code.CUT_SHORT if code is Code.GOODBYE else code)
        self.close(code, reason)

    def close(self, code: Code, reason: str = "") -> None:
        """Close the link at once; what its clients have not sent yet is lost."""
        if self.state in (State.CLOSING, State.ENDED):
            return
        self.state = State.CLOSING
        self._clear_deadline()
        self.leaving()
        self.why_closed = reason or code.word
        if self._link is not None:
            words = self.why_closed.encode(errors="replace")[:MAX_REASON]
            self._link.close(code, words.decode(errors="ignore"))

    # -- The link

    def link_made(self, link: Link) -> None:
        """Begin with a link whose handshake is complete."""
        self._link = link

    def link_silent(self) -> None:
        """Leave without the peer's agreement, if that is all that is waited for."""
        self.states.silent()
        self._settle()

    def link_back(self) -> None:
        """Leave in order after all."""
        self.states.back()
        if self.state is State.LEAVING:
            self._set_deadline(max(0.0, self._grace_ends - self._loop.time()), self._grace_over)

    def link_moved(self) -> None:
        """Note that the link goes another way."""
        self.states.moved()

    def link_lost(self, exc: Exception | None) -> None:
        """End with the link; its streams have told their relays by themselves."""
        self.state = State.ENDED
        self._clear_deadline()
        self.leaving()
        self.states.over(None if exc is None else why_ended(exc))
        self._on_end(exc)

    # -- The control stream

    def control_message(self, message: Message) -> None:
        """Take a message of the peer.

        :raises ProtocolError: when it may not come now.
        """
        if self.state is State.NEW:
            self.greeting_message(message)
        elif self.state in (State.STANDING, State.LEAVING):
            if isinstance(message, Goodbye):
                self._take_goodbye(message)
            else:
                self.standing_message(message)

    def control_ended(self) -> None:
        """Learn that the peer sends no more messages, which only one that leaves may do."""
        if self.state in (State.NEW, State.STANDING):
            self.control_broken(ProtocolError("control stream ended without a goodbye"))

    def control_finished(self) -> None:
        """Learn that both directions of the control stream are over and acknowledged."""
        self._control_finished = True
        if self.state is not State.LEAVING:
            self.close(Code.NO_ERROR)
            return
        self._settle()

    def control_broken(self, error: ProtocolError) -> None:
        """Close the link of a peer that breaks the rules."""
        if self.state in (State.CLOSING, State.ENDED):
            return
        fact(
            self._logger,
            logging.WARNING,
            "protocol violation",
            peer=self.link.peer,
            reason=str(error),
        )
        self.close(Code.PROTOCOL_VIOLATION, str(error))

    # -- Inside

    def _take_goodbye(self, message: Goodbye) -> None:
        if self._heard_goodbye:
            return  # nothing new, and no line in the log for each
        self._heard_goodbye = True
        fact(
            self._logger,
            logging.INFO,
            "goodbye received",
            peer=self.link.peer,
            reason=message.reason,
            grace=message.grace,
        )
        if self.state is State.STANDING:
            # The peer cuts its clients when its grace is over; we only make sure of an end.
            self._leave(min(message.grace, MAX_PEER_GRACE) + 2 * FAREWELL)

    def _leave(self, grace: float) -> None:
        self.state = State.LEAVING
        self._grace_ends = self._loop.time() + grace
        self._set_deadline(grace, self._grace_over)
        self.leaving()
        self._settle()

    def _grace_over(self) -> None:
        # Set first: cutting the last client settles what is left.
        self._set_deadline(FAREWELL, self._farewell_over)
        self.clients.cut(Code.CUT_SHORT)
        self._settle()

    def _farewell_over(self) -> None:
        self.clients.cut(Code.CUT_SHORT)
        self.close(Code.GOODBYE)

    def _settle(self) -> None:
        """Go the next step of the farewell, when the last client has left."""
        if self.state is not State.LEAVING or self.clients or self._control is None:
            return
        self._control.finish()
        if not self._control_finished:
            if self.link.is_silent:
                self._set_deadline(FAREWELL, self._farewell_over)
            return
        if self._said_goodbye:
            self.close(Code.GOODBYE)
        else:
            # Who said goodbye closes; should it fail to, we do not wait for ever.
            self._set_deadline(FAREWELL, self._farewell_over)

    def _set_deadline(self, delay: float, callback: Callable[[], None]) -> None:
        """Set the session's one deadline; what it was before is forgotten."""
        self._clear_deadline()
        self._deadline = self._loop.call_later(delay, callback)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
