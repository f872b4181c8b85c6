"""Compares what two ends of a visit have seen with what they have done. No I/O.

The received bytes are a prefix of the sent bytes, and all of them if the receiver saw FIN. A
receiver sees FIN only if the sender sent it, and a reset only if the sender reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.soak.sides import SoakEnding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.soak.plans import Plan
    from bench.soak.sides import SoakSide


def faults(plan: Plan, client: SoakSide, server: SoakSide | None) -> Iterator[str]:
    """Yield the faults of a visit, in words.

    :param server: None if the server did not receive the header.
    """
    if plan.kind == "knock":
        yield from _unknown(client, server)
    elif server is None:
        if not client.has_reset:
            yield f"the server was not reached: the client saw its end {_seen(client)}"
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
    elif receiver.ending is SoakEnding.RESET and not sender.has_reset:
        yield f"{way}: a reset that was not sent, after {heard} bytes of {size}"
    elif receiver.ending is SoakEnding.END and not sender.has_ended:
        yield f"{way}: a FIN that was not sent, after {heard} bytes of {size}"
    elif receiver.ending is SoakEnding.END and heard < size:
        yield f"{way}: FIN after {heard} bytes of {size}"
    elif receiver.ending is None and not receiver.has_reset:
        yield f"{way}: no end"


def _unknown(client: SoakSide, server: SoakSide | None) -> Iterator[str]:
    """Judge a client that sent no complete header. The server answers its FIN with FIN."""
    if server is not None:
        yield "a client without a header was taken for one with a header"
    if not client.is_over:
        yield "knock: hangs"
    elif client.heard:
        yield f"knock: {client.heard} bytes that were not sent"
    elif client.ending is not SoakEnding.END and not client.has_reset:
        yield f"knock: saw its end {_seen(client)}"


def _seen(side: SoakSide) -> str:
    return side.ending.value if side.ending else "never"
