"""One origin's link at the remote: hello, proof, welcome, then its clients.

It decides who may come in and brings clients over; which service belongs to whom is the
registry's, and how a session ends is the base class's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from quictunnel.config.tokens import Token
from quictunnel.errors import ProtocolError, Refused
from quictunnel.observe.logging_setup import fact
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Hello,
    Message,
    RefusedMessage,
    Service,
    Services,
    Welcome,
)
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import check, prove
from quictunnel.quic import Link, Stream
from quictunnel.relay import LingerTimer, Relay
from quictunnel.remote.proof_failures import FAILURE_DELAY
from quictunnel.remote.registry import Identity, Registry
from quictunnel.remote.session_settings import RemoteSessionSettings
from quictunnel.session.clients import Client
from quictunnel.session.control import ControlStream
from quictunnel.session.link_reporter import LinkState
from quictunnel.session.session import FAREWELL, Session, State, why_ended

HELLO_TIMEOUT = 5.0
"""Seconds from the handshake to a whole hello, which needs half a round trip."""

_log = logging.getLogger("quictunnel.remote")


class RemoteSession(Session):
    """The remote's end of one link.

    :param on_made: called once, when the link stands.
    :param on_end: called once after that, when it is over.
    :param on_state: called with each state of a link that stands, and whose it is.
    """

    def __init__(
        self,
        terms: RemoteSessionSettings,
        registry: Registry[RemoteSession],
        *,
        on_made: Callable[[RemoteSession], None],
        on_end: Callable[[RemoteSession], None],
        on_state: Callable[[LinkState, str], None] = lambda *_: None,
    ) -> None:
        super().__init__(_log, "client", self._ended, lambda state: on_state(state, self.name))
        self._terms = terms
        self._linger_timer = LingerTimer(terms.linger)
        self._registry = registry
        self._tell_made = on_made
        self._tell_end = on_end
        self._hello: Hello | None = None
        self._refusal: Refused | None = None
        self._came_in: float | None = None

    @property
    def name(self) -> str:
        """What the origin calls itself; nothing before its hello."""
        return self._hello.name if self._hello else ""

    def bring(self, client: Client, on_end: Callable[[], None]) -> Relay:
        """Open a stream for a client and return its relay, whose TCP side is yet to be given.

        :param on_end: called once the client has left.
        """
        relay = self.clients.add(
            client,
            lambda ended: Relay(
                linger_timer=self._linger_timer,
                loop=self._loop,
                on_end=ended,
                tcp_reset_code=Code.CLIENT_RESET,
            ),
            on_end=on_end,
        )
        relay.stream.write(
            encode_v2(
                Preamble(
                    client=client.address,
                    outside=client.outside,
                    service=client.service,
                    client_id=client.id,
                )
            )
        )
        self.link.open_stream(relay.stream)
        return relay

    # -- The link

    def link_made(self, link: Link) -> None:
        """Wait for a hello, though not for long."""
        super().link_made(link)
        # The control stream, and never another: data streams are ours to open.
        link.allow_streams(1)
        self._set_deadline(HELLO_TIMEOUT, self._no_hello)
        self._tell_made(self)

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Take the origin's first stream as the control stream; a second one breaks the rules."""
        if self._control is not None:
            self._loop.call_soon(self.control_broken, ProtocolError("a second control stream"))
            return asyncio.Protocol()  # nobody listens to it
        self._control = ControlStream(self)
        return self._control

    def link_back(self) -> None:
        """Let waiting clients go to an origin that answers again."""
        super().link_back()
        if self.state is State.STANDING:
            self._registry.announce(self)

    def whose(self) -> dict[str, Any]:
        """Return by what the log knows the origin, wherever it is."""
        return {key: value for key, value in self._who().items() if key != "peer"}

    def where(self) -> str:
        """Return the address that it is seen at."""
        return str(self.link.peer)

    def leaving(self) -> None:
        """OriginSessionSettings its services no more."""
        self._registry.release(self)

    # -- Messages

    def greeting_message(self, message: Message) -> None:
        """Take the hello.

        :raises ProtocolError: when it is something else, or a second one.
        """
        if self._hello is not None or not isinstance(message, Hello):
            raise ProtocolError("a session begins with one hello")
        self._hello = message
        try:
            token = self._authenticate(message)
            losers = self._claim(message)
        except Refused as exc:
            self._refuse(exc)
        else:
            self._welcome(message, token, losers)

    def standing_message(self, message: Message) -> None:
        """Take another list of services, and answer with those that are granted.

        :raises ProtocolError: for a message that only begins a session, or only the remote sends.
        """
        if not isinstance(message, Services):
            raise ProtocolError(f"{type(message).__name__} in a session that stands")
        if self.state is not State.STANDING or self._hello is None:
            return  # it leaves: nothing new is offered
        try:
            losers = self._claim(message)
        except Refused as exc:
            # What it holds it keeps; the answer says what that is.
            fact(_log, logging.WARNING, "services refused", reason=exc.message, **self._who())
            losers = ()
        self.tell_services()
        self._retire(losers)
        self._registry.announce(self)

    def tell_services(self) -> None:
        """Tell the origin which of its services are offered now."""
        if self._control is not None:
            self._control.send(Services(services=self._granted()))

    def control_ended(self) -> None:
        """Learn that the origin says no more, which after a refusal is in order."""
        if self._refusal is None:
            super().control_ended()

    # -- Inside

    def _authenticate(self, hello: Hello) -> Token:
        """Return the token that the origin has proven to know.

        :raises Refused: with what is wrong. It does not tell an unknown token from a bad proof.
        """
        if hello.version != VERSION:
            raise Refused(
                Code.BAD_VERSION,
                f"the remote speaks version {VERSION} of the protocol, not {hello.version}",
            )
        if not hello.token_id:
            raise Refused(Code.NO_TOKEN, "the remote wants a token, and none was given")
        token = self._terms.tokens.get(hello.token_id)
        if token is None or not check(token.secret, "origin", self.link.exporter, hello.proof):
            raise Refused(Code.BAD_TOKEN, "the remote does not accept this token")
        return token

    def _claim(self, message: Hello | Services) -> tuple[RemoteSession, ...]:
        """Register what is offered, and return the sessions that lost a service by it.

        :raises Refused: when none of it can be offered here, or another origin has it.
        """
        hello = self._hello
        if hello is None:
            raise RuntimeError("a claim before the hello")
        offered = dict.fromkeys(service.name for service in message.services)
        names = [name for name in offered if name in self._terms.outside]
        if not names and isinstance(message, Hello):
            raise Refused(
                Code.NOT_ALLOWED, "the remote has no outside address for what this origin offers"
            )
        identity = Identity(hello.token_id, hello.name)
        return self._registry.claim(self, identity, names, run=hello.instance)

    def _welcome(self, hello: Hello, token: Token, losers: tuple[RemoteSession, ...]) -> None:
        self.state = State.STANDING
        self._clear_deadline()
        self.states.begin(self.link)
        self._came_in = self._loop.time()
        self._terms.failures.forgive(self.link.peer)
        self.link.trust()
        granted = self._granted()
        if self._control is not None:
            self._control.send(
                Welcome(
                    proof=prove(token.secret, "remote", self.link.exporter),
                    instance=self._terms.instance,
                    services=granted,
                    hold=min(self._terms.hold, hello.hold or self._terms.hold),
                )
            )
        names = ",".join(service.name for service in granted)
        fact(_log, logging.INFO, "origin in", services=names, agent=hello.agent, **self._who())
        self._retire(losers)
        self._registry.announce(self)

    def _retire(self, losers: tuple[RemoteSession, ...]) -> None:
        for loser in losers:
            if self._registry.services_of(loser):
                loser.tell_services()
            else:
                loser.close(Code.TAKEN_OVER, "a newer link serves what this one did")

    def _refuse(self, refusal: Refused) -> None:
        """Say no: slowly and for the record where a proof was wanting."""
        self._refusal = refusal
        if refusal.code not in (Code.BAD_TOKEN, Code.NO_TOKEN):
            fact(_log, logging.WARNING, "origin refused", reason=refusal.message, **self._who())
            self._say_no()
            return
        fact(
            _log,
            logging.WARNING,
            "proof failed",
            reason=Code(refusal.code).word,
            failed_from_there=self._terms.failures.count(self.link.peer),
            failed=self._terms.failures.total,
            **self._who(),
        )
        self._set_deadline(FAILURE_DELAY, self._say_no)

    def _say_no(self) -> None:
        refusal = self._refusal
        if refusal is None or self._control is None:
            return
        self._control.send(RefusedMessage(code=refusal.code, message=refusal.message))
        self._control.finish()
        # The origin closes when it has read this; the code tells one that does not.
        self._set_deadline(FAREWELL, lambda: self.close(Code(refusal.code), refusal.message))

    def _no_hello(self) -> None:
        fact(_log, logging.WARNING, "no hello in time", peer=self.link.peer)
        self.close(Code.HELLO_TIMEOUT, Code.HELLO_TIMEOUT.word)

    def _granted(self) -> list[Service]:
        return [
            Service(name=name, address=str(self._terms.outside[name]))
            for name in self._registry.services_of(self)
        ]

    def _who(self) -> dict[str, Any]:
        hello = self._hello
        return {
            "peer": self.link.peer,
            "origin": hello.name if hello else None,
            "token": hello.token_id if hello else None,
        }

    def _ended(self, exc: Exception | None) -> None:
        if self._came_in is not None:
            fact(
                _log,
                logging.INFO,
                "origin out",
                duration=self._loop.time() - self._came_in,
                ending=self.why_closed if exc is None else why_ended(exc),
                **self._who(),
            )
        self._tell_end(self)
