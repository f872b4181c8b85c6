"""The error tree, sorted by who has to act.

    QuictunnelError
    ├── SettingsError     the user: an invalid option or file, or an address in use
    │   └── OutOfRange        a number that is too low or too high
    ├── ProtocolError     the peer: bytes that violate the protocol
    ├── Refused           the peer or our check of it: retrying without a change is pointless
    ├── RoleUnavailable   the user: no running role answers, or it lets this user do nothing
    └── LinkError         the network, or the peer's end of the link
        ├── LinkFailed        a link could not be established; a retry may succeed
        ├── LinkLost          an established link has ended, with its streams
        │   └── LinkForgotten     the peer has no state for the link, as after a restart
        └── StreamReset       the peer reset one stream; the link continues

Only the command line turns them into messages and exit codes.
"""

from __future__ import annotations


class QuictunnelError(Exception):
    """Base class of every error that quictunnel raises on purpose."""


class SettingsError(QuictunnelError):
    """A setting cannot be used. The message is one sentence for the user."""


class OutOfRange(SettingsError):
    """A number is too low or too high.

    :param key: the option without its dashes, or the key in a table.
    :param sentence: what it must be, as in `must be from 1 to 1000`.
    """

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(f"{key} {sentence}")
        self.key = key
        self.sentence = sentence


class ProtocolError(QuictunnelError):
    """The peer violated the protocol."""


class Refused(QuictunnelError):
    """One end does not accept the other. A retry without a change is pointless.

    :param code: the reason, a `quictunnel.protocol.codes.Code`.
    :param message: one sentence for the user.
    :param is_proven: at the origin, whether the peer has proven on this link that it is the remote.
        Otherwise anyone who can answer in the remote's place may have sent the refusal.
    """

    def __init__(self, code: int, message: str, *, is_proven: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_proven = is_proven


class RoleUnavailable(QuictunnelError):
    """No running role answers a command about it, or it does not let this user ask.

    The message is one sentence for the user.
    """


class LinkError(QuictunnelError, ConnectionError):
    """Base class of errors of a link or of a stream on it."""


class LinkFailed(LinkError):
    """A link could not be established: no answer in time, or a failed handshake."""


class LinkLost(LinkError, ConnectionResetError):
    """The link has ended, with every stream on it.

    :param code: the code that closed it, a `Code`; None if the network ended it.
    :param reason: the reason in words.
    """

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class LinkForgotten(LinkLost):
    """The peer has no state for the link and sent a stateless reset (RFC 9000, 10.3)."""


class StreamReset(LinkError, ConnectionResetError):
    """The peer reset one stream.

    :param code: the peer's code, a `Code` unless the peer uses an unknown one.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"stream reset by the peer (code {code:#x})")
        self.code = code
