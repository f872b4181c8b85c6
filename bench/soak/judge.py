"""What two ends saw of one another, held against what they did. Knows no socket and no tunnel.

What arrives is a beginning of what was sent, and all of it where an end is seen. An end is seen
where one was made, and a reset only where somebody reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.soak.sides import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.soak.plans import Plan
    from bench.soak.sides import SoakSide


def faults(plan: Plan, client: SoakSide, server: SoakSide | None) -> Iterator[str]:
    """Yield what is wrong with a visit, in words; nothing if all is well.

    :param server: None if no server saw the header.
    """
    if plan.kind == "knock":
        yield from _unknown(client, server)
    elif server is None:
        if not client.has_reset:
            yield f"no server was reached: the client saw the end {_seen(client)}"
    else:
        yield from _direction("up", client, server)
        yield from _direction("down", server, client)


def _direction(way: str, sender: SoakSide, receiver: SoakSide) -> Iterator[str]:
    heard, sent, size = receiver.heard, sender.sent, sender.half.size
    if receiver.wrong is not None:
        yield f"{way}: wrong bytes from {receiver.wrong} on, of {size}"
    if heard > sent:
        yield f"{way}: {heard} bytes were heard of {sent} sent"
    if not receiver.is_over:
        yield f"{way}: hangs with {heard} bytes heard of {sent} sent of {size}"
    elif receiver.ending is Ending.RESET and not sender.has_reset:
        yield f"{way}: a reset that nobody sent, after {heard} bytes of {size}"
    elif receiver.ending is Ending.END and not sender.has_ended:
        yield f"{way}: an end that nobody made, after {heard} bytes of {size}"
    elif receiver.ending is Ending.END and heard < size:
        yield f"{way}: an end after {heard} bytes of {size}"
    elif receiver.ending is None and not receiver.has_reset:
        yield f"{way}: no end"


def _unknown(client: SoakSide, server: SoakSide | None) -> Iterator[str]:
    """Judge a client that never said who it is; a server answers its end with an end."""
    if server is not None:
        yield "a client that did not say who it is was taken for one who did"
    if not client.is_over:
        yield "knock: hangs"
    elif client.heard:
        yield f"knock: {client.heard} bytes out of nowhere"
    elif client.ending is not Ending.END and not client.has_reset:
        yield f"knock: saw the end {_seen(client)}"


def _seen(side: SoakSide) -> str:
    return side.ending.value if side.ending else "never"
