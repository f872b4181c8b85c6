"""The errors of quictunnel, each of which says who is to blame. No I/O, no logging.

    QuictunnelError
    ├── SettingsError     the user: an option, a file, an address in use
    ├── ProtocolError     the peer: bytes that break the rules of the wire
    ├── Refused           the peer, or our own check of it: this link may not be
    └── LinkError         the network, or the peer's end of the link
        ├── LinkFailed        a link could not be made; trying again may help
        ├── LinkLost          a link that stood has ended, and its streams with it
        │   └── LinkForgotten     the peer does not know it any more: it was started anew
        └── StreamReset       the peer reset one stream; the link lives on

The command line turns them into sentences and exit codes; nothing else does.
"""

from __future__ import annotations


class QuictunnelError(Exception):
    """The root: every error that quictunnel raises on purpose."""


class SettingsError(QuictunnelError):
    """What the user gave cannot be used; the message is one sentence that says why."""


class ProtocolError(QuictunnelError):
    """The peer sent what the protocol does not allow."""


class Refused(QuictunnelError):
    """One end does not accept the other: trying again without a change is of no use.

    :param code: the word's number, of `quictunnel.protocol.codes.Code`.
    :param message: one sentence for a person.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LinkError(QuictunnelError, ConnectionError):
    """The root of what may happen to a link or a stream on it."""


class LinkFailed(LinkError):
    """No link could be made: no answer in time, or the handshake broke."""


class LinkLost(LinkError, ConnectionResetError):
    """The link has ended, and every stream on it.

    :param code: the code with which it was closed, of `Code`; None where the network decided.
    :param reason: words for logs.
    """

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class LinkForgotten(LinkLost):
    """The peer answered what was sent on the link with a stateless reset (RFC 9000, 10.3)."""


class StreamReset(LinkError, ConnectionResetError):
    """The peer ended one stream before its orderly end.

    :param code: the code that the peer gave, of `Code` where it is one of ours.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"stream reset by the peer (code {code:#x})")
        self.code = code
