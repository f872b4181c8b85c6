"""What a protocol raises goes to the event loop's handler, and harms nobody beside it.

Roles' and relays' methods are called in the midst of a link's work, for many streams and, at a
listener, for many links: one that fails must not keep the others from being told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def tell(
    failed: Callable[[Exception], None],
    method: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result | None:
    """Call a protocol's method; if it raises, say so as asyncio's own transports do.

    Return what it has returned, or None after `failed` was called with what it raised.
    """
    try:
        return method(*arguments, **options)
    except Exception as exc:  # whatever it is, it is a bug up there, and not ours to judge
        name = getattr(method, "__name__", repr(method))
        context = {"message": f"{name} failed", "exception": exc}
        asyncio.get_running_loop().call_exception_handler(context)
        failed(exc)
        return None
