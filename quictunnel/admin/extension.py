"""The part that a program adds to the live page of its role, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PageExtension:
    """A part of the page that a program adds, as the demo does."""

    script: str
    """A JavaScript module that exports `extend(parent)`. The page calls it once, with an element
    above the rest of the page."""
    actions: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    """Commands by name. `POST /api/v1/actions/NAME` runs one, which returns at once."""
    sources: Sequence[str] = ()
    """Other origins that the script may send requests to, such as `http://127.0.0.1:8000`."""
