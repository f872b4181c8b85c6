"""The messages of the control stream: their fields, encoder and decoder.

On the wire, a message is its length (4 bytes, big-endian) and one JSON object (RFC 8259) with a
member `type`. Unknown members and types are ignored, which is how version 1 grows. The roles decide
what messages mean and in which order they are valid.

    origin                              remote
      hello      ─────────────────────▶
                 ◀─────────────────────  welcome, or refused and the end of the link
      services, goodbye  ◀──────────▶  services, goodbye

A list of services may be longer than a message. `service_list` splits and joins it.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from quictunnel.errors import ProtocolError

MAX_MESSAGE = 64 * 1024
"""Largest size of a message's JSON in bytes. It bounds the memory that a peer can claim."""

MAX_SERVICES = 128
"""Largest number of services in a message. They fit `MAX_MESSAGE` even with the longest names."""

MAX_PARTS = 64
"""Largest number of messages that carry one list of services."""

_LENGTH_SIZE = 4

_MAX_DETAIL = 120
"""Characters of a parser's error that are reported. The error may quote the peer."""

ServiceName = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]{1,63}\Z")]
Word = Annotated[str, Meta(max_length=255)]
"""A name, an id or a proof, at most as long as the longest host name."""
PortNumber = Annotated[int, Meta(ge=0, le=65_535)]
PortsText = Annotated[str, Meta(pattern=r"\A[0-9]{1,5}-[0-9]{1,5}\Z")]
Sentence = Annotated[str, Meta(max_length=1024)]
ShortSentence = Annotated[str, Meta(max_length=255)]
"""Short enough for `MAX_SERVICES` of them in one message."""
ShareWord = Annotated[str, Meta(max_length=63)]
"""How origins share a service. The remote refuses a word that it does not know."""
AddressText = Annotated[str, Meta(max_length=261)]
"""`HOST:PORT` with the longest host name, and brackets."""
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]
"""A duration of at most a year, so that no clock overflows."""
Number = Annotated[int, Meta(ge=0, le=2**62 - 1)]
"""An integer that QUIC can carry (RFC 9000, section 16)."""
PartNumber = Annotated[int, Meta(ge=1, le=MAX_PARTS)]
UnixTime = Annotated[float, Meta(ge=0, le=2**53)]
"""Seconds since 1970-01-01 00:00 UTC, without leap seconds."""
ServiceLimit = Annotated[int, Meta(ge=MAX_SERVICES, le=2**62 - 1)]
"""A limit on services that every hello keeps."""


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service that an origin asks for or a remote has granted."""

    name: ServiceName
    port: PortNumber | None = None
    """The TCP port of the remote that the origin asks for; 0 for any free one."""
    ports: PortsText | None = None
    """A range of them, such as `50000-50100`, instead of one."""
    host: Word | None = None
    """The host name that the origin asks for: `www.example.com`, `*.example.com` or `*`."""
    protocol: Word | None = None
    """The protocol of its clients: `tls` or `http`. A remote refuses other values."""
    address: AddressText | None = None
    """Where clients reach it. Set by the remote only."""
    share: ShareWord | None = None
    """`failover` or `balance` if several origins may serve it; None if only this one may."""
    sticky: bool = False
    """With `balance`: whether a client's address selects the origin."""


class RefusedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service that an origin has asked for and does not get."""

    name: ServiceName
    code: Number
    """A `codes.Code`."""
    message: ShortSentence
    """One sentence for the user."""


ServiceList = Annotated[list[Service], Meta(max_length=MAX_SERVICES)]
RefusedList = Annotated[list[RefusedService], Meta(max_length=MAX_SERVICES)]


class _Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """A message. Its member `type` names its class, and members with default values are omitted."""


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """The origin's first message: its identity and the services it asks for."""

    version: Number
    agent: Word
    """The origin's program and version, for logs."""
    name: Word
    """The origin's name. A new link replaces an old link of the same token and name."""
    token_id: Word
    """The id of the token that the proof uses; empty without a token."""
    proof: Word
    """The origin's proof (`proof.prove`); empty without a token."""
    services: ServiceList
    hold: Seconds | None = None
    """How long the origin keeps a silent link; None leaves it to the remote."""
    instance: Word = ""
    """Identifies this run of the origin; may be empty. Another run gets its place only if this one
    does not answer a ping."""
    take_over: bool = False
    """Replace another run of the same token and name even if it answers."""
    services_follow: bool = False
    """The complete list follows in `Services`. A remote that knows this member grants nothing in
    its welcome and judges that list. For an older remote, `services` is what it can take."""


class Welcome(_Message, frozen=True, kw_only=True, tag="welcome"):
    """The remote's answer to an accepted origin."""

    proof: Word
    """The remote's proof."""
    instance: Word
    """Identifies this run of the remote. A new value means that links of the old run are lost."""
    services: ServiceList
    """The granted services, with the addresses for clients."""
    hold: Seconds
    """How long the remote keeps a silent link."""
    refused: RefusedList = []
    """The services that are not granted, and why."""
    max_services: ServiceLimit | None = None
    """Services that an origin may list, in parts; None for those of one message, without parts."""
    agent: Word = ""
    """The remote's program and version, for logs; empty if it does not say."""
    time: UnixTime | None = None
    """The time on the remote's clock; None if it does not say. Nothing depends on it."""


class RefusedMessage(_Message, frozen=True, kw_only=True, tag="refused"):
    """The remote's answer to a refused origin."""

    code: Number
    """A `codes.Code`."""
    message: Sentence
    """One sentence for the user."""
    proof: Word = ""
    """The remote's proof, as in a welcome, if the origin's own proof was good; empty otherwise."""


class Services(_Message, frozen=True, kw_only=True, tag="services"):
    """The complete list of services, after a change, or a part of it."""

    services: ServiceList
    refused: RefusedList = []
    """The services that are not granted, and why. Sent by the remote only."""
    part: PartNumber | None = None
    """The number of this part, from 1 on; None if the message has the whole list."""
    parts: PartNumber | None = None
    """The number of all parts. The list takes effect with the last one."""


class Goodbye(_Message, frozen=True, kw_only=True, tag="goodbye"):
    """The sender drains: it accepts no new clients and closes the link when current ones end."""

    reason: Sentence
    grace: Seconds
    """How long current clients may take."""


Message: TypeAlias = Hello | Welcome | RefusedMessage | Services | Goodbye


class _Envelope(msgspec.Struct):
    """The member that all messages share."""

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
    """Return the length-prefixed message.

    :raises ValueError: the message exceeds a limit, so that the peer would refuse it.
    """
    body = _ENCODER.encode(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"message of {len(body)} bytes, more than {MAX_MESSAGE}")
    msgspec.json.decode(body, type=type(message))
    return len(body).to_bytes(_LENGTH_SIZE, "big") + body


class MessageDecoder:
    """Decodes the messages of one control stream. Unusable after an error.

    It buffers at most one incomplete message.
    """

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes, except those of unknown types.

        :raises ProtocolError: a message is too long, is not a JSON object, or has a field of a
            wrong type or beyond its limits. Earlier messages in `data` are lost.
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
    """Return the message, or None if its type is unknown."""
    try:
        decoder = _DECODERS.get(_ENVELOPE_DECODER.decode(body).type)
        return None if decoder is None else decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # Invalid UTF-8 and deep nesting raise errors that are not msgspec's.
        raise ProtocolError(f"malformed control message: {str(exc)[:_MAX_DETAIL]!a}") from exc
