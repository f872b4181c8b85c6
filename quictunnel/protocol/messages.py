"""The messages of the control stream: what they are, their bytes, and back. No I/O.

On the wire, each is its length (4 bytes, big-endian) and one JSON object (RFC 8259) with a `type`.
Unknown fields and unknown types are ignored, which is how version 1 grows. What the messages
mean, and in which order they may come, is for the roles.

    origin                              remote
      hello      ─────────────────────▶
                 ◀─────────────────────  welcome, or refused and the link's end
      services, goodbye  ◀──────────▶  services, goodbye
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from quictunnel.errors import ProtocolError

MAX_MESSAGE = 64 * 1024
"""The greatest length in bytes of one message's JSON: what a peer can make us hold."""

MAX_SERVICES = 128
"""How many services one message may list: even with the longest names they fit."""

_LENGTH_SIZE = 4

_MAX_DETAIL = 120
"""How much of a complaint is kept: it may quote the peer, who may have sent much."""

ServiceName = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]{1,63}\Z")]
Word = Annotated[str, Meta(max_length=255)]
"""A name, an id, a proof: as long as the longest name of a host."""
Sentence = Annotated[str, Meta(max_length=1024)]
AddressText = Annotated[str, Meta(max_length=261)]
"""A host, a colon and a port: the longest name of a host, and brackets."""
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]
"""At most a year, so that no clock overflows."""
Number = Annotated[int, Meta(ge=0, le=2**62 - 1)]
"""What QUIC can carry as an integer (RFC 9000, 16)."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service, as an origin offers it or a remote has opened it."""

    name: ServiceName
    address: AddressText | None = None
    """The outside address, which the remote tells."""


ServiceList = Annotated[list[Service], Meta(max_length=MAX_SERVICES)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """The origin's first message: who it is and what it offers."""

    version: Number
    agent: Word
    """The program and its version, for logs."""
    name: Word
    """The origin's name: a new link of the same token and name takes the old one's place."""
    token_id: Word
    """Which token the proof is made with; empty without one."""
    proof: Word
    """The origin's proof, of `proof.prove`; empty without a token."""
    services: ServiceList
    hold: Seconds | None = None
    """How long the origin would keep a silent link; None leaves it to the remote."""
    instance: Word = ""
    """Names this run of the origin, if it says so: once another run has taken its place, it may not
    come back as long as that one is there."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="welcome"):
    """The remote's answer to an origin that it accepts."""

    proof: Word
    """The remote's proof."""
    instance: Word
    """Names this run of the remote: another one means that all links of the old run are dead."""
    services: ServiceList
    """What was asked for, with the outside addresses."""
    hold: Seconds
    """How long the remote keeps a silent link."""


class RefusedMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refused"):
    """The remote's answer to an origin that it does not accept."""

    code: Number
    """Of `codes.Code`."""
    message: Sentence
    """One sentence for a person."""


class Services(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="services"):
    """What is offered changed: the whole list as it is now."""

    services: ServiceList


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="goodbye"):
    """The sender drains: it takes no new clients, and closes the link when the present ones end."""

    reason: Sentence
    grace: Seconds
    """How long the present clients may take."""


Message: TypeAlias = Hello | Welcome | RefusedMessage | Services | Goodbye


class _Envelope(msgspec.Struct):
    """As much of any message as tells which one it is."""

    type: str


_ENCODER = msgspec.json.Encoder()
_ENVELOPE_DECODER = msgspec.json.Decoder(_Envelope)
_DECODERS: dict[str, msgspec.json.Decoder[Message]] = {
    "hello": msgspec.json.Decoder(Hello),
    "welcome": msgspec.json.Decoder(Welcome),
    "refused": msgspec.json.Decoder(RefusedMessage),
    "services": msgspec.json.Decoder(Services),
    "goodbye": msgspec.json.Decoder(Goodbye),
}


def encode(message: Message) -> bytes:
    """Return the message's bytes, its length before it.

    Raises ValueError for a message that a peer would refuse, so that a limit which our own side
    oversteps shows where that happens, and not at the other end.
    """
    body = _ENCODER.encode(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"message of {len(body)} bytes, more than {MAX_MESSAGE}")
    msgspec.json.decode(body, type=type(message))
    return len(body).to_bytes(_LENGTH_SIZE, "big") + body


class MessageDecoder:
    """Reads the messages of one control stream. After it has raised, it is spent.

    Holds one incomplete message at most.
    """

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes, without those of unknown types.

        Raises ProtocolError for a message too long, for what is no JSON object, and for fields
        of a wrong type or beyond their limits; what came before it in `data` is lost.
        """
        self._unread += data
        messages = []
        at = 0
        while len(self._unread) - at >= _LENGTH_SIZE:
            start = at + _LENGTH_SIZE
            size = int.from_bytes(self._unread[at:start], "big")
            if size > MAX_MESSAGE:
                raise ProtocolError(f"control message of {size} bytes")
            if len(self._unread) < start + size:
                break
            at = start + size
            message = _decode(bytes(self._unread[start:at]))
            if message is not None:
                messages.append(message)
        del self._unread[:at]
        return messages


def _decode(body: bytes) -> Message | None:
    """Return the message of this JSON, or None if it is of an unknown type."""
    try:
        decoder = _DECODERS.get(_ENVELOPE_DECODER.decode(body).type)
        return None if decoder is None else decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # Not UTF-8 and nested too deep are told by errors that are not msgspec's.
        raise ProtocolError(f"malformed control message: {str(exc)[:_MAX_DETAIL]!a}") from exc
