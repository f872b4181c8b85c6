"""Fuzz target: the messages of the control stream, and their framing."""

from __future__ import annotations

import json

from fuzz.fuzzer import run
from fuzz.outcomes import outcome_of_any_split
from quictunnel.protocol.messages import MAX_MESSAGE, Message, MessageDecoder, encode


class _AllMessages:
    """Returns nothing until the end, and then all messages: `feed` of a decoder returns a few."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._decoder = MessageDecoder()
        self._found: list[Message] = []

    def feed(self, data: bytes) -> list[Message] | None:
        """Return all messages once everything was fed."""
        self._left -= len(data)
        self._found += self._decoder.feed(data)
        return None if self._left else self._found


def check(data: bytes) -> None:
    """Check bytes as they are, and again as one message whose length is right."""
    check_stream(data)
    body = data[4:]
    check_stream(len(body).to_bytes(4) + body)


def check_stream(data: bytes) -> None:
    """Check that the split changes nothing, and that each message survives another encoding."""
    if not data:
        return
    found = outcome_of_any_split(lambda: _AllMessages(len(data)), data)
    if not isinstance(found, list):
        return
    for message in found:
        _check_again(message)
    known = [body for body in _bodies(data) if _type(body) in TYPES]
    assert len(known) == len(found), "a message was lost or made up"


def _check_again(message: Message) -> None:
    """Check that a message means the same when encoded again."""
    try:
        encoded = encode(message)
    except ValueError as exc:
        if f"more than {MAX_MESSAGE}" in str(exc):
            return  # another spelling of a number is longer
        raise
    assert MessageDecoder().feed(encoded) == [message], "it means something else now"


def _bodies(data: bytes) -> list[bytes]:
    """Return the bodies of the complete messages."""
    bodies, at = [], 0
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4])
        if end > len(data):
            break
        bodies.append(data[at + 4 : end])
        at = end
    return bodies


def _type(body: bytes) -> object:
    """Return the type that Python's own parser reads. Of two, both parsers use the last."""
    try:
        return json.loads(body.decode(errors="replace"))["type"]
    except ValueError:
        raise AssertionError("Python's parser refuses the message") from None


TYPES = ("hello", "welcome", "refused", "services", "goodbye")
"""The types of messages that the decoder returns."""


if __name__ == "__main__":
    run("fuzz.messages")
