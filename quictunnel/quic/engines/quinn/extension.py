"""Import of the compiled module `quictunnel_quinn`, with a check of its interface number.

The module is a separate package, so it may be missing or of another version.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

MODULE = "quictunnel_quinn"

API = 9
"""Number of the module's interface. Each change of the interface raises it."""


def version() -> str:
    """Return the name and version of the module's QUIC library.

    :raises ImportError: see `load`.
    """
    return str(load().version())


def load() -> ModuleType:
    """Return the module.

    :raises ModuleNotFoundError: it is not installed.
    :raises ImportError: it cannot be loaded, or its interface has another number.
    """
    module = importlib.import_module(MODULE)
    api = getattr(module, "API", None)
    if api != API:
        raise ImportError(
            f"its interface is number {api}, not {API}: "
            "install the quictunnel-quinn of the same version as quictunnel"
        )
    return module
