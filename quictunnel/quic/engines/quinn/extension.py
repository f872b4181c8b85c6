"""The compiled module `quictunnel_quinn`: whether it is there, and whether it is one of ours.

It is built and released beside this package, but pip lets somebody have one without the other, or
an older one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

MODULE = "quictunnel_quinn"

API = 4
"""What we expect of the module, as a number: it rises with each change of what we call."""


def version() -> str:
    """Return which implementation of QUIC the module holds, and its version.

    :raises ImportError: see `load`.
    """
    return str(load().version())


def load() -> ModuleType:
    """Return the module.

    :raises ModuleNotFoundError: it is not installed.
    :raises ImportError: it cannot be loaded, or expects another quictunnel.
    """
    module = importlib.import_module(MODULE)
    api = getattr(module, "API", None)
    if api != API:
        raise ImportError(
            f"its interface is number {api}, not {API}; it must be of quictunnel's own version"
        )
    return module
