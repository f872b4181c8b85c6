"""Calls protocol methods so that an exception affects only its own stream or link.

Methods of roles and relays are called in the middle of a link's work, for many streams. An
exception goes to the event loop's exception handler, as with asyncio's own transports.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def call_protocol(
    failed: Callable[[Exception], None],
    method: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result | None:
    """Call a protocol's method and return its result.

    If it raises, report the exception to the event loop, call `failed` with it, and return None.
    """
    try:
        return method(*arguments, **options)
    except Exception as exc:  # any exception here is a bug of the protocol
        name = getattr(method, "__name__", repr(method))
        context = {"message": f"{name} failed", "exception": exc}
        asyncio.get_running_loop().call_exception_handler(context)
        failed(exc)
        return None
