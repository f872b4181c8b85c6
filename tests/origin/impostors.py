"""Peers that answer in the remote's place and do not know the token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fake_link import FakeLink, FakeStream
from scripted_remote import welcome

from quictunnel.errors import Refused
from quictunnel.origin.session import FINAL_CODES
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Goodbye, Message, RefusedMessage, encode
from quictunnel.quic.link import LinkProtocol

Answer = Callable[[FakeLink, FakeStream], None]
"""An impostor's answer to a hello."""


class Impostors:
    """Takes the place of a `House`: each of its sessions answers a hello in the same way."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def session(self) -> LinkProtocol:
        return Impostor(self._answer)


class Impostor(LinkProtocol, asyncio.Protocol):
    """The remote's end of one link."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._link: FakeLink
        self._control: FakeStream

    def link_made(self, link) -> None:
        self._link = link

    def link_lost(self, exc) -> None:
        pass

    def stream_accepted(self, stream) -> asyncio.Protocol:
        self._control = stream
        return self

    def data_received(self, data) -> None:
        self._answer(self._link, self._control)


def saying(message: Message) -> Answer:
    return lambda _, control: control.write(encode(message))


def closing(code: Code) -> Answer:
    return lambda link, _: link.close(code, "no")


REFUSALS: dict[str, Answer | Refused] = {
    "refused": saying(RefusedMessage(code=Code.BAD_TOKEN, message="no")),
    "refused with a wrong proof": saying(
        RefusedMessage(code=Code.NOT_ALLOWED, message="no", proof="00" * 32)
    ),
    "welcome with a wrong proof": saying(welcome(proof="00" * 32)),
    **{f"closed with {code.name}": closing(code) for code in sorted(FINAL_CODES)},
    "wrong certificate": Refused(Code.BAD_CERTIFICATE, "not the pinned one"),
    "wrong protocol": Refused(Code.BAD_VERSION, "not a quictunnel remote"),
}
"""Answers that end an origin which has not met the remote. A `Refused` comes with the handshake."""

FAILURES: dict[str, Answer | Refused] = {
    "closed in order": closing(Code.GOODBYE),
    "not a welcome": saying(Goodbye(reason="", grace=1.0)),
    "malformed": lambda _, control: control.write(b"\0\0\0\2{]"),
    "stream reset": lambda _, control: control.reset(Code.INTERNAL),
    "stream ended": lambda _, control: control.write_eof(),
    "no answer": lambda *_: None,
}
"""Answers after which an origin always tries again."""
