"""Names the ends of clients and links with the words of their events."""

from __future__ import annotations

from collections.abc import Mapping

from quictunnel.errors import LinkForgotten, LinkLost
from quictunnel.events import ClientEnding, LinkEnding, RefusalKind
from quictunnel.protocol.codes import Code
from quictunnel.quic.link import PEER_ENDED
from quictunnel.relay.relay import Ending

_BY_CODE: Mapping[int, ClientEnding] = {
    Code.CLIENT_RESET: ClientEnding.RESET_BY_CLIENT,
    Code.ORIGIN_RESET: ClientEnding.RESET_BY_SERVER,
    Code.ORIGIN_REFUSED: ClientEnding.SERVER_REFUSED,
    Code.ORIGIN_UNREACHABLE: ClientEnding.SERVER_UNREACHABLE,
    Code.UNKNOWN_SERVICE: ClientEnding.UNKNOWN_SERVICE,
    Code.LINGER_OVER: ClientEnding.LINGER_OVER,
    Code.CUT_SHORT: ClientEnding.CUT_SHORT,
    Code.OVERLOADED: ClientEnding.OVERLOADED,
    Code.REJECTED: ClientEnding.REJECTED,
    Code.IDLE_TIMEOUT: ClientEnding.IDLE_TIMEOUT,
    Code.MOVED: ClientEnding.MOVED,
    # The codes of a link, with which its streams are reset when a role closes it.
    Code.GOODBYE: ClientEnding.LINK_LOST,
    Code.TAKEN_OVER: ClientEnding.LINK_LOST,
    Code.BAD_TOKEN: ClientEnding.LINK_LOST,
    Code.NOT_ALLOWED: ClientEnding.LINK_LOST,
}
"""The words for the codes of streams. All others are errors."""

_BY_ENDING = {
    Ending.IN_ORDER: ClientEnding.EOF,
    Ending.LINK_LOST: ClientEnding.LINK_LOST,
    Ending.CLOSED: ClientEnding.CLOSED,
}
"""The words for endings whose code does not matter."""

_OF_LINKS: Mapping[int, LinkEnding] = {
    Code.GOODBYE: LinkEnding.GOODBYE,
    Code.TAKEN_OVER: LinkEnding.TAKEN_OVER,
    Code.BAD_TOKEN: LinkEnding.REFUSED,
    Code.NOT_ALLOWED: LinkEnding.REFUSED,
    Code.SERVICE_TAKEN: LinkEnding.REFUSED,
    Code.PROTOCOL_VIOLATION: LinkEnding.VIOLATED,
    Code.INTERNAL: LinkEnding.VIOLATED,
}

_OF_REFUSALS: Mapping[int, RefusalKind] = {
    Code.BAD_TOKEN: RefusalKind.BAD_TOKEN,
    Code.NO_TOKEN: RefusalKind.NO_TOKEN,
    Code.BAD_VERSION: RefusalKind.BAD_VERSION,
    Code.NOT_ALLOWED: RefusalKind.NOT_ALLOWED,
    Code.SERVICE_TAKEN: RefusalKind.SERVICE_TAKEN,
    Code.TAKEN_OVER: RefusalKind.TAKEN_OVER,
}


def client_ending(ending: Ending, code: int | None) -> ClientEnding:
    """Return the word for the end of a client's relay.

    :param code: that of the relay's result. The peer may have chosen it.
    """
    return _BY_ENDING.get(ending) or code_ending(code)


def code_ending(code: int | None) -> ClientEnding:
    """Return the word for a stream's reset code."""
    return ClientEnding.ERROR if code is None else _BY_CODE.get(code, ClientEnding.ERROR)


def link_ending(exc: Exception | None, closed_with: Code | None) -> LinkEnding:
    """Return the word for the end of a link.

    :param exc: the argument of `link_lost`.
    :param closed_with: the code with which this end has closed the link; None if it has not.
    """
    if isinstance(exc, LinkForgotten):
        return LinkEnding.FORGOTTEN
    code = exc.code if isinstance(exc, LinkLost) else closed_with
    if code is not None:
        return _OF_LINKS.get(code, LinkEnding.CLOSED)
    if isinstance(exc, LinkLost):
        return LinkEnding.PEER_ENDED if exc.reason == PEER_ENDED else LinkEnding.LOST
    return LinkEnding.CLOSED


def refusal_kind(code: int | None) -> RefusalKind:
    """Return the word for the code of a refusal."""
    return RefusalKind.OTHER if code is None else _OF_REFUSALS.get(code, RefusalKind.OTHER)
