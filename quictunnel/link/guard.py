"""What a protocol raises goes to the event loop's handler, and harms nobody beside it.

Roles' and relays' methods are called in the midst of a link's work, for many streams and, at a
listener, for many links: one that fails must not keep the others from being told.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def guarded(what: str, failed: Callable[[Exception], None]) -> Iterator[None]:
    """Run the body; if it raises, say so as asyncio's own transports do, and call `failed`.

    :param what: names who was called, for the log.
    """
    try:
        yield
    except Exception as exc:  # whatever it is, it is a bug up there, and not ours to judge
        context = {"message": f"{what} failed", "exception": exc}
        asyncio.get_running_loop().call_exception_handler(context)
        failed(exc)
