"""The life of a session as a state machine: a pure object, without I/O, clock or clients.

Theory of operation

A session starts when the QUIC handshake of its link is complete. The origin sends `hello`. The
remote answers with `welcome`, which establishes the session, or with `refused`.

An end that wants to leave in order sends `goodbye`. From then on the remote opens no streams for
new clients. Each end finishes its direction of the control stream when its last client has left.
When both directions are finished and acknowledged, no byte of a client is in flight. The end that
sent `goodbye` then closes the link, or either end if both sent one. The other end waits for that.

The link can be closed here, or be lost, at any time. A session never returns to an earlier state.

An input that is not in the table is an error. If the peer caused it, the peer has broken the
protocol (`ProtocolError`). If this end caused it, the program has a bug
(`IllegalTransitionError`). Time limits are the session's: they end in `Input.CLOSE`.
"""

from __future__ import annotations

import enum

from quictunnel.errors import ProtocolError


class IllegalTransitionError(RuntimeError):
    """A step of this end that its session's state does not allow: a bug."""


class State(enum.Enum):
    """How far a session is."""

    GREETING = "greeting"
    """No `welcome` yet."""
    REFUSED = "refused"
    """The remote refuses the origin. Only the end of the control stream is left to come."""
    ESTABLISHED = "established"
    """Both ends have proven that they know the token, and clients are forwarded."""
    LEAVING = "leaving"
    """This end has sent `goodbye`."""
    PEER_LEAVING = "peer leaving"
    """The peer has sent `goodbye`."""
    BOTH_LEAVING = "both leaving"
    """Both ends have sent `goodbye`."""
    AWAITING_CLOSE = "awaiting close"
    """The control stream has finished. The peer closes the link."""
    CLOSE_WHEN_IDLE = "close when idle"
    """The control stream has finished. This end closes the link when its last client has left."""
    CLOSING = "closing"
    """This end has closed the link, which has not reported its end yet."""
    CLOSED = "closed"
    """The link is gone."""

    @property
    def is_leaving(self) -> bool:
        """Whether the session ends in order: no new clients, current ones may finish."""
        early = (State.GREETING, State.REFUSED, State.ESTABLISHED)
        return self not in early and not self.is_over

    @property
    def is_end_wanted(self) -> bool:
        """Whether this end wants the session to end: it has sent `goodbye` or closed the link."""
        return self in _END_WANTED

    @property
    def is_over(self) -> bool:
        """Whether this end has closed the link, or the link is gone."""
        return self in (State.CLOSING, State.CLOSED)


_END_WANTED = frozenset({State.LEAVING, State.BOTH_LEAVING, State.CLOSE_WHEN_IDLE, State.CLOSING})


class Input(enum.Enum):
    """An event in the life of a session."""

    WELCOME = "welcome"
    """The remote has sent its `welcome`, or the origin has verified it."""
    REFUSAL = "refusal"
    """The remote has decided to refuse the origin."""
    GOODBYE = "own goodbye"
    """This end leaves."""
    CLOSE = "close"
    """This end closes the link."""
    LINK_LOST = "link lost"
    """The link has ended, closed by either end or lost."""
    PEER_GOODBYE = "goodbye"
    """The peer leaves."""
    PEER_EOF = "the end of the control stream"
    """The peer has finished its direction of the control stream."""
    FINISHED = "the end of both directions of the control stream"
    """Both directions are finished, and all of this end's was acknowledged."""


_BY_PEER = frozenset({Input.PEER_GOODBYE, Input.PEER_EOF, Input.FINISHED})

_ENDS = {Input.CLOSE: State.CLOSING, Input.LINK_LOST: State.CLOSED}

_IGNORED = (Input.GOODBYE, Input.CLOSE, *_BY_PEER)
"""Inputs that may still come while or after the link is closed, and change nothing."""

TRANSITIONS: dict[State, dict[Input, State]] = {
    State.GREETING: {**_ENDS, Input.WELCOME: State.ESTABLISHED, Input.REFUSAL: State.REFUSED},
    State.REFUSED: {**_ENDS, Input.PEER_EOF: State.REFUSED, Input.FINISHED: State.CLOSE_WHEN_IDLE},
    State.ESTABLISHED: {
        **_ENDS,
        Input.GOODBYE: State.LEAVING,
        Input.PEER_GOODBYE: State.PEER_LEAVING,
    },
    State.LEAVING: {
        **_ENDS,
        Input.GOODBYE: State.LEAVING,
        Input.PEER_GOODBYE: State.BOTH_LEAVING,
        Input.PEER_EOF: State.LEAVING,
        Input.FINISHED: State.CLOSE_WHEN_IDLE,
    },
    State.PEER_LEAVING: {
        **_ENDS,
        Input.GOODBYE: State.BOTH_LEAVING,
        Input.PEER_GOODBYE: State.PEER_LEAVING,
        Input.PEER_EOF: State.PEER_LEAVING,
        Input.FINISHED: State.AWAITING_CLOSE,
    },
    State.BOTH_LEAVING: {
        **_ENDS,
        Input.GOODBYE: State.BOTH_LEAVING,
        Input.PEER_GOODBYE: State.BOTH_LEAVING,
        Input.PEER_EOF: State.BOTH_LEAVING,
        Input.FINISHED: State.CLOSE_WHEN_IDLE,
    },
    State.AWAITING_CLOSE: {**_ENDS, Input.GOODBYE: State.CLOSE_WHEN_IDLE},
    State.CLOSE_WHEN_IDLE: {**_ENDS, Input.GOODBYE: State.CLOSE_WHEN_IDLE},
    State.CLOSING: {**dict.fromkeys(_IGNORED, State.CLOSING), Input.LINK_LOST: State.CLOSED},
    State.CLOSED: dict.fromkeys(_IGNORED, State.CLOSED),
}


class StateMachine:
    """The state of one session, which only `apply` changes."""

    def __init__(self) -> None:
        self.state = State.GREETING

    def apply(self, happened: Input) -> bool:
        """Go to the next state, and return whether it is another one.

        :raises ProtocolError: the peer may not do this in this state.
        :raises IllegalTransitionError: this end may not.
        """
        before, after = self.state, TRANSITIONS[self.state].get(happened)
        if after is None:
            sentence = f"{happened.value} in state {before.value!r}"
            raise (ProtocolError if happened in _BY_PEER else IllegalTransitionError)(sentence)
        self.state = after
        return after is not before
