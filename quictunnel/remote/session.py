"""The remote's end of one link: hello, proof, welcome, then the clients that it forwards.

The origin proves that it knows its token by an HMAC over the TLS exporter, and the remote answers
with its own proof. Until then the origin may open one stream and gets small windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from quictunnel import __version__
from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.policy import describe_place
from quictunnel.config.tokens import Token
from quictunnel.errors import ProtocolError, Refused
from quictunnel.escaping import cut_name, cut_sentence
from quictunnel.events import (
    ClientEnding,
    EventSink,
    HelloTimedOut,
    LinkEnding,
    OriginConnected,
    OriginDisconnected,
    OriginRejected,
    ProofFailed,
    ServiceRefused,
    ServicesChanged,
)
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Hello,
    Message,
    RefusedMessage,
    RefusedService,
    Service,
    Services,
    Welcome,
)
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import check, prove
from quictunnel.protocol.service_list import MAX_LISTED, ServiceListJoiner, split_list
from quictunnel.quic.awaited_answers import AwaitedAnswers
from quictunnel.quic.link import Link
from quictunnel.quic.stream import Stream
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.relay import Ending, Relay, RelayEnd, RelayLimits
from quictunnel.remote.movable_client import MovableClient
from quictunnel.remote.registry import Identity, Registry
from quictunnel.remote.routes import Route, asks_any_port
from quictunnel.remote.session_settings import RemoteSessionSettings
from quictunnel.remote.sharing import Sharing, sharing_of
from quictunnel.session.clients import Client
from quictunnel.session.control_stream import ControlStream
from quictunnel.session.endings import refusal_kind
from quictunnel.session.rejection import Rejection
from quictunnel.session.session import CLOSE_TIMEOUT, Session
from quictunnel.session.state import Input, State

HELLO_TIMEOUT = 5.0
"""Seconds from the handshake to a complete hello, which needs half a round trip."""

PROOF_FAILURE_DELAY = 1.0
"""Seconds before a failed proof is answered. Guessing costs time, a typing error costs little."""


RIVAL_ANSWERS_WITHIN = 1.0
"""Seconds that an origin has to answer a ping when another one wants its place."""

MAX_REASON = 180
"""Bytes of the reason for each service that is not granted. It may quote another origin, and the
reasons for `MAX_SERVICES` must fit one message, even if each byte needs an escape."""

EXPIRED = "the token has expired"
"""The reason that an origin is given whose token has expired."""

NOTHING_ASKED = "the origin asks for no service"
"""The sentence for an origin without services."""


class RemoteSession(Session):
    """The remote's end of one link.

    :param on_open: called once, when the link is made.
    :param on_close: called once after that, when the link has ended.
    """

    def __init__(
        self,
        settings: RemoteSessionSettings,
        registry: Registry[RemoteSession],
        *,
        emit: EventSink,
        on_open: Callable[[RemoteSession], None],
        on_close: Callable[[RemoteSession], None],
    ) -> None:
        super().__init__("client", emit)
        self.token_id = ""
        """The id of the token that the origin has proven to know; empty until then."""
        self._settings = settings
        self._linger_timer = IdleTimer(settings.linger, Relay.linger_expired)
        self._registry = registry
        self._on_open = on_open
        self._on_close = on_close
        self._hello: Hello | None = None
        self._proven_token: Token | None = None
        self._routes: dict[str, tuple[str, Route]] = {}  # with the names of the services
        self._joiner = ServiceListJoiner()
        self._shared: set[str] = set()
        """The routes that other origins may serve too."""
        self._asked: list[Service] = []
        self._awaits_list = False  # the complete list of services, which follows the hello
        self._rivals_asked: set[RemoteSession] = set()
        self._refused: list[RefusedService] = []
        self._clients_at: dict[str, int] = {}  # by route
        self._unanswered: AwaitedAnswers[MovableClient] = AwaitedAnswers()

    def forward(
        self, client: Client, route: str, on_end: Callable[[], None], limits: RelayLimits
    ) -> Relay:
        """Open a stream for a client and return its relay, which still needs its TCP side.

        :param route: the key of the route at which the client has arrived.
        :param on_end: called once the client has left, unless its relay was detached.
        :param limits: those of the route's policy. Those of the token are added.
        """
        usage, token_id, clients_at = self._settings.usage, self.token_id, self._clients_at
        if (rate := self._grant.rate) is not None:
            token_rates = self._settings.rates.limits(token_id, rate)
            limits = limits._replace(rates=limits.rates + token_rates)
        usage[token_id] += 1
        clients_at[route] = clients_at.get(route, 0) + 1

        def left(end: RelayEnd) -> None:
            usage[token_id] -= 1
            clients_at[route] -= 1
            if not clients_at[route]:
                del clients_at[route]
            if end.ending is not Ending.DETACHED:
                on_end()

        relay = self.clients.add(
            client,
            lambda ended: Relay(
                linger_timer=self._linger_timer,
                loop=self._loop,
                on_end=ended,
                tcp_reset_code=Code.CLIENT_RESET,
                limits=limits,
            ),
            on_end=left,
        )
        # A client that has waited for another origin knows the service by that one's name.
        client.service, _ = self._routes[route]
        client.token = token_id
        client.origin = self.origin_name
        preamble = Preamble(client.address, client.outside, client.service, client.id)
        relay.stream.write(encode_v2(preamble))
        self.link.open_stream(relay.stream)
        return relay

    def is_shared(self, route: str) -> bool:
        """Return whether other origins may serve the route too, so that its clients may move."""
        return route in self._shared

    def await_answer(self, client: MovableClient) -> None:
        """Call the client's `answered` once the origin has answered what was sent last."""
        self._unanswered.add(client)

    def clients_at(self, route: str) -> int:
        """Return the number of clients of a route that the origin serves now."""
        return self._clients_at.get(route, 0)

    @property
    def served(self) -> list[tuple[str, Route]]:
        """The names of the granted services, and their routes."""
        return [self._routes[key] for key in self._registry.routes_of(self)]

    @property
    def refused(self) -> Sequence[RefusedService]:
        """The services that the origin asks for and does not get."""
        return self._refused

    @property
    def clients_by_route(self) -> Mapping[str, int]:
        """The numbers of clients that the origin serves now, by the keys of their routes."""
        return self._clients_at

    def move_clients(self) -> None:
        """Move clients that this origin has not answered to others that can serve them now."""
        for client in self._unanswered:
            others = self._registry.sessions_at(client.route)
            if any(other.is_usable for other in others if other is not self):
                client.move()

    @property
    def rejection(self) -> Rejection | None:
        """Why no more clients can be forwarded now: the token's limit; None if they can."""
        limit = self._grant.max_clients
        if limit is None or self._settings.usage[self.token_id] < limit:
            return None
        reason = f"the token's limit of clients is reached ({limit})"
        return Rejection(ClientEnding.LIMIT, reason)

    @property
    def has_expired(self) -> bool:
        """Whether the token of an established session has expired."""
        return self._grant.has_expired

    # -- The link

    def link_made(self, link: Link) -> None:
        """Wait for the hello."""
        super().link_made(link)
        link.acknowledgements = self._unanswered
        link.allow_streams(1)  # the control stream; only the remote opens data streams
        self._set_deadline(HELLO_TIMEOUT, self._hello_timed_out)
        self._on_open(self)

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        """Take the origin's first stream as the control stream; a second one is a violation."""
        if self._control is not None:
            self._loop.call_soon(self.control_violated, ProtocolError("a second control stream"))
            return asyncio.Protocol()
        self._control = ControlStream(self)
        return self._control

    def link_silent(self) -> None:
        """Move clients that the origin has not answered to other origins."""
        super().link_silent()
        self.move_clients()

    def link_back(self) -> None:
        """Forward waiting clients to an origin that answers again."""
        super().link_back()
        if self.state is State.ESTABLISHED:
            self._registry.notify_usable(self)

    def link_ended(
        self, exc: Exception | None, reason: str, kind: LinkEnding, *, is_wanted: bool
    ) -> None:
        """Report an origin that was welcomed as disconnected, and as dropped after a silence."""
        if self.established_at is not None and self._hello is not None:
            if self.silent_for is not None:
                self.report_dropped(reason, kind)
            duration = self._loop.time() - self.established_at
            identity = self._identity(self._hello)
            self._emit(OriginDisconnected(*identity, duration, reason, kind, self.link_id))
        self._on_close(self)

    def origin_address(self) -> str:
        """Return the link's peer."""
        return str(self.link.peer)

    def stopped_accepting(self) -> None:
        """Free the origin's services."""
        self._registry.release(self)

    # -- Messages

    def greeting_received(self, message: Message) -> None:
        """Answer the hello.

        :raises ProtocolError: for another message, or a second hello.
        """
        if self._hello is not None or not isinstance(message, Hello):
            raise ProtocolError("a session begins with one hello")
        self._hello = message
        self.peer_agent = cut_name(message.agent)
        self._awaits_list = message.services_follow
        self._asked = [] if message.services_follow else message.services
        self._clear_deadline()
        try:
            self._authenticate(message)
            rivals, gone = self._rivals(message)
        except Refused as exc:
            self._refuse(message, exc)
            return
        self._ask(rivals, gone, partial(self._admit, message))

    def message_received(self, message: Message) -> None:
        """Replace the origin's services, and answer with the granted ones.

        :raises ProtocolError: for a message that only starts a session, or that only remotes send,
            or for a part of a list that is not the next one.
        """
        if not isinstance(message, Services):
            raise ProtocolError(f"{type(message).__name__} in an established session")
        complete = self._joiner.add(message)
        if complete is None:
            return
        self._asked = complete.services
        if self._rivals_asked:
            return  # their answers come first
        if self._hello is None or not self._awaits_list:
            self.judge_again()
            return
        rivals, gone = self._rivals(self._hello)
        self._ask(rivals, gone, self._judge_first_list)

    def send_services(self) -> None:
        """Send the origin its granted services, and those that it does not get."""
        for part in split_list(self._granted(), self._refused):
            self._send(part)

    def report_lost_services(self, by: Hello) -> None:
        """Tell the origin which services it has left after another link has taken over some."""
        before = self._places()
        served = self._registry.routes_of(self)
        lost = [self._routes.pop(key)[0] for key in tuple(self._routes) if key not in served]
        _, message = self._successor(by)
        self._refused += [
            RefusedService(name=name, code=Code.TAKEN_OVER, message=_cut(message)) for name in lost
        ]
        self.send_services()
        if self._hello is not None:
            self._report_change(self._hello, before)
        self.move_clients()

    def judge_again(self) -> None:
        """Grant or refuse the services that an established origin asks for, and answer."""
        if not self._awaits_list:
            self._judge()

    @property
    def is_refused_a_service(self) -> bool:
        """Whether the origin asks for a service that it does not get."""
        return bool(self._refused)

    def close_taken_over(self, by: Hello) -> None:
        """Close the link because another one now serves all of its services."""
        self.close_reason, public = self._successor(by)
        self.close(Code.TAKEN_OVER, public)

    # -- Inside

    @property
    def _grant(self) -> Grant:
        return self._settings.grants.get(self.token_id, DEFAULT_GRANT)

    def _successor(self, by: Hello) -> tuple[str, str]:
        """Return who has taken over, for our log and for the origin.

        :param by: the hello of the other link. A holder of another token must not learn its name.
        """
        own = self._hello
        is_same_token = own is not None and own.token_id == by.token_id
        is_same_origin = is_same_token and own is not None and own.name == by.name
        origin = (
            "a newer link of the same origin" if is_same_origin else f"origin {cut_name(by.name)}"
        )
        reason = f"{origin} has taken over"
        return reason, reason if is_same_token else "another origin has taken over"

    def _authenticate(self, hello: Hello) -> Token:
        """Return the token that the origin has proven to know.

        :raises Refused: with the same answer for an unknown token and for a bad proof.
        """
        if hello.version != VERSION:
            raise Refused(
                Code.BAD_VERSION,
                f"the remote speaks version {VERSION} of the protocol, not {hello.version}",
            )
        if not hello.token_id:
            raise Refused(Code.NO_TOKEN, "the remote requires a token, and the origin gave none")
        token = self._settings.tokens.get(hello.token_id)
        if token is None or not check(token.secret, "origin", self.link.exporter, hello.proof):
            raise Refused(Code.BAD_TOKEN, "the remote does not accept this token")
        self._proven_token = token
        if self._settings.grants.get(token.id, DEFAULT_GRANT).has_expired:
            raise Refused(Code.NOT_ALLOWED, EXPIRED)
        return token

    def _rivals(self, hello: Hello) -> tuple[set[RemoteSession], set[RemoteSession]]:
        """Return the sessions that keep the origin out if they answer, and those that must go."""
        identity, registry = Identity(hello.token_id, hello.name), self._registry
        wanted: dict[str, Sharing] = {}
        for service in self._asked:
            key = self._settings.routes.key(identity, service)
            if key is not None:
                with contextlib.suppress(Refused):  # `_obtain` will refuse the service
                    wanted[key] = sharing_of(service)
        rivals = set(registry.rivals(identity, wanted, instance=hello.instance))
        predecessor = registry.predecessor(identity)
        gone = {predecessor} if hello.take_over and predecessor is not None else set()
        return rivals - gone, gone

    def _ask(
        self,
        rivals: Collection[RemoteSession],
        gone: set[RemoteSession],
        then: Callable[[Collection[RemoteSession]], None],
    ) -> None:
        """Ping rivals, and call `then` with `gone` and those that have not answered."""
        if not rivals:
            then(gone)
            return
        self._rivals_asked = set(rivals)
        asked_in = self.state

        def answered(rival: RemoteSession, is_there: bool) -> None:
            self._rivals_asked.remove(rival)
            if not is_there:
                gone.add(rival)
            if not self._rivals_asked and self.state is asked_in:
                then(gone)

        for rival in rivals:
            rival.link.ask(RIVAL_ANSWERS_WITHIN, partial(answered, rival))

    def _admit(self, hello: Hello, gone: Collection[RemoteSession]) -> None:
        """Welcome or refuse an origin that has proven itself.

        :param gone: sessions that did not answer.
        """
        try:
            token = self._authenticate(hello)  # it may be gone by now
            identity = Identity(hello.token_id, hello.name)
            self._registry.check_place(self, identity, instance=hello.instance, gone=gone)
            losers = self._claim(hello, gone=gone, must_get_one=not self._awaits_list)
        except Refused as exc:
            self._refuse(hello, exc)
        else:
            self._welcome(hello, token, losers)

    def _judge_first_list(self, gone: Collection[RemoteSession]) -> None:
        """Judge the list that has followed a hello: close the link if the origin gets nothing.

        :param gone: sessions that did not answer.
        """
        self._awaits_list = False
        try:
            self._judge(gone=gone, must_get_one=bool(self._asked))
        except Refused as exc:
            if self._hello is not None:
                self._report_rejected(self._hello, exc)
            self.close(Code(exc.code), exc.message)

    def _judge(self, *, gone: Collection[RemoteSession] = (), must_get_one: bool = False) -> None:
        """Grant or refuse the services that an established origin asks for, and answer.

        :raises Refused: the origin gets none, but must.
        """
        hello = self._hello
        if self.state is not State.ESTABLISHED or hello is None:
            return
        before = self._places()
        losers = self._claim(hello, gone=gone, must_get_one=must_get_one)
        self.send_services()
        self._report_change(hello, before)
        self._notify_losers(hello, losers)
        self._registry.notify_usable(self)

    def _claim(
        self,
        hello: Hello,
        *,
        gone: Collection[RemoteSession],
        must_get_one: bool,
    ) -> tuple[RemoteSession, ...]:
        """Replace the origin's services by those that it asks for.

        Each service is judged on its own.

        :return: the sessions that have lost a service by it.
        :raises Refused: the origin gets none, but must.
        """
        identity = Identity(hello.token_id, hello.name)
        registry = self._registry
        asked, refusals = self._obtain(identity, self._asked)
        if must_get_one and not asked:
            raise next(iter(refusals.values()), Refused(Code.NOT_ALLOWED, NOTHING_ASKED))
        wanted = {route.key: sharing for route, sharing in asked.values()}
        try:
            claim = registry.claim(
                self,
                identity,
                wanted,
                instance=hello.instance,
                gone=gone,
                may_be_empty=not must_get_one,
                places={route.key: describe_place(route.place) for route, _ in asked.values()},
            )
        except Refused:
            for key in wanted:
                if not registry.sessions_at(key):
                    self._settings.routes.free(key)
            raise
        self._routes, self._shared = {}, set()
        for name, (route, sharing) in asked.items():
            if route.key in claim.taken:
                refusals[name] = Refused(Code.SERVICE_TAKEN, claim.taken[route.key])
            else:
                self._routes[route.key] = (name, route)
                if sharing.way is not None:
                    self._shared.add(route.key)
                self._settings.routes.hold(route, identity, name)
        self._note_refusals(hello, refusals)
        return claim.losers

    def _obtain(
        self, identity: Identity, services: list[Service]
    ) -> tuple[dict[str, tuple[Route, Sharing]], dict[str, Refused]]:
        """Return the routes that services ask for, and why others have none, by their names.

        Services that ask for any free port come last: it must not be one that another asks for.
        """
        by_name = {service.name: service for service in services}
        asked: dict[str, tuple[Route, Sharing]] = {}
        taken: set[Route] = set()
        refusals: dict[str, Refused] = {}
        for name, service in sorted(by_name.items(), key=lambda item: asks_any_port(item[1])):
            try:
                sharing = sharing_of(service)
                route = self._settings.routes.obtain(identity, service, taken)
            except Refused as exc:
                refusals[name] = exc
                continue
            if route in taken:
                sentence = "another service of this origin is there"
                refusals[name] = Refused(Code.SERVICE_TAKEN, sentence)
            else:
                asked[name] = route, sharing
                taken.add(route)
        return (
            {name: asked[name] for name in by_name if name in asked},
            {name: refusals[name] for name in by_name if name in refusals},
        )

    def _places(self) -> dict[str, str]:
        """Return the places of the origin's services, by the services' names."""
        return {name: route.address for name, route in self._routes.values()}

    def _report_change(self, hello: Hello, before: Mapping[str, str]) -> None:
        """Report the services that the origin has now, if they are others than before."""
        now = self._places()
        if now != before:
            self._emit(ServicesChanged(*self._identity(hello), tuple(now)))

    def _note_refusals(self, hello: Hello, refusals: Mapping[str, Refused]) -> None:
        """Remember which services are not granted, for the answer, and report them."""
        known = {(refused.name, refused.message) for refused in self._refused}
        self._refused = [
            RefusedService(name=name, code=refusal.code, message=_cut(refusal.message))
            for name, refusal in refusals.items()
        ]
        for name, refusal in refusals.items():
            if (name, _cut(refusal.message)) in known:
                continue  # it was reported when it was refused first
            reason = cut_sentence(refusal.message)
            kind = refusal_kind(refusal.code)
            self._emit(ServiceRefused(*self._identity(hello), name, reason, kind))

    def _welcome(self, hello: Hello, token: Token, losers: tuple[RemoteSession, ...]) -> None:
        origin, token_id, _ = self._identity(hello)
        self._establish(origin=origin, token=token_id)
        self.token_id = hello.token_id
        self._settings.failures.clear(self.link.peer)
        granted = self._granted()
        self._send(
            Welcome(
                proof=prove(token.secret, "remote", self.link.exporter),
                instance=self._settings.instance,
                services=granted,
                hold=min(self._settings.hold, hello.hold or self._settings.hold),
                refused=self._refused,
                max_services=MAX_LISTED,
                agent=f"quictunnel/{__version__}",
                time=time.time(),
            )
        )
        services = tuple(service.name for service in granted)
        identity = self._identity(hello)
        link = (self.link_id, self.link.path_kind)
        self._emit(OriginConnected(*identity, services, self.peer_agent, *link))
        self._notify_losers(hello, losers)
        self._registry.notify_usable(self)

    def _notify_losers(self, hello: Hello, losers: tuple[RemoteSession, ...]) -> None:
        """Tell sessions which services they still have, and close those that have none."""
        for loser in losers:
            if self._registry.routes_of(loser):
                loser.report_lost_services(hello)
            else:
                loser.close_taken_over(hello)

    def _refuse(self, hello: Hello, refusal: Refused) -> None:
        """Refuse the origin: after a delay if it failed to prove that it knows a token."""
        self._apply(Input.REFUSAL)
        self._farewell = (Code(refusal.code), refusal.message)
        if refusal.code not in (Code.BAD_TOKEN, Code.NO_TOKEN):
            self._report_rejected(hello, refusal)
            self._send_refusal(refusal)
            return
        failures = self._settings.failures
        counts = (failures.record(self.link.peer), failures.total)
        code = Code(refusal.code)
        identity = self._identity(hello)
        self._emit(ProofFailed(*identity, code.word, *counts, refusal_kind(code)))
        self._set_deadline(PROOF_FAILURE_DELAY, lambda: self._send_refusal(refusal))

    def _report_rejected(self, hello: Hello, refusal: Refused) -> None:
        """Report an origin that is refused for another reason than its proof."""
        why = (cut_sentence(refusal.message), refusal_kind(refusal.code))
        self._emit(OriginRejected(*self._identity(hello), *why))

    def _send_refusal(self, refusal: Refused) -> None:
        if self._control is not None:
            token = self._proven_token
            # A peer that does not know the secret must not get a proof: it could guess offline.
            proof = prove(token.secret, "remote", self.link.exporter) if token else ""
            answer = RefusedMessage(code=refusal.code, message=refusal.message, proof=proof)
            self._control.send(answer)
            self._control.finish()
        # The origin closes the link when it has read this. The code is for one that does not.
        self._set_deadline(CLOSE_TIMEOUT, self._close_in_order)

    def _hello_timed_out(self) -> None:
        self._emit(HelloTimedOut(peer=str(self.link.peer)))
        self.close(Code.HELLO_TIMEOUT)

    def _identity(self, hello: Hello) -> tuple[str, str, str]:
        """Return the name, the token's id and the address of the origin, as events begin."""
        return cut_name(hello.name), cut_name(hello.token_id), str(self.link.peer)

    def _granted(self) -> list[Service]:
        return [Service(name=name, address=route.address) for name, route in self.served]


def _cut(sentence: str) -> str:
    return sentence.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")
