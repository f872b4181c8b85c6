"""Which QUIC engine carries a link: those there are, those that are installed, and the choice.

An engine is imported when it is chosen and not before, so one that is missing or broken is in
nobody's way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, get_args

from quictunnel.config.settings import Congestion
from quictunnel.errors import SettingsError
from quictunnel.events import EngineSelected, EventSink
from quictunnel.observe.logging_setup import fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import EndpointFactory, EndpointSocketFactory

DEFAULT_CONGESTION = "bbr"
"""The congestion control of either engine, where none is asked for."""

INSTALL = "pip install ./engine in a clone of the repository, which takes Rust"
"""How the quinn engine comes to be on a machine. No package index is named while none has it: what
a stranger puts there under its name would be installed."""

_log = logging.getLogger("quictunnel.quic")


class EngineMissingError(SettingsError):
    """The engine is not installed: no fault of it, unless somebody asked for it by name."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that can be used."""

    name: str
    """What the user calls it."""
    version: str
    """The QUIC implementation's own version, for people."""
    endpoint: EndpointFactory
    """Makes what shares a socket, ..."""
    carriage: EndpointSocketFactory
    """... and what joins it to the socket and the event loop."""


@cache
def choose(engine: str, congestion: str | None) -> EngineKind:
    """Return the engine of this name; for `auto` the fastest that is installed.

    One that is installed and does not work is passed over by `auto` with a warning, which is logged
    once.

    :param congestion: what it is to use; None for its own choice.
    :raises SettingsError: it is not there or does not work, or there is no such congestion control.
    """
    if congestion is not None and congestion not in get_args(Congestion):
        raise SettingsError(f"{congestion!r} is not a congestion control: bbr, cubic or reno")
    if engine == "auto":
        return _choose_any()
    if engine not in _LOADERS:
        raise SettingsError(f"{engine!r} is not an engine: auto, aioquic or quinn")
    return _LOADERS[engine]()


def announce(emit: EventSink, engine: str, congestion: str | None) -> None:
    """Report which engine is chosen.

    :raises SettingsError: as `choose` does.
    """
    kind = choose(engine, congestion)
    emit(EngineSelected(kind.name, kind.version, congestion or DEFAULT_CONGESTION))


def installed() -> dict[str, EngineKind | SettingsError]:
    """Return every engine, in the order in which `auto` takes them, or why it cannot be used."""
    return {name: _look(name) for name in _LOADERS}


def _choose_any() -> EngineKind:
    troubles = []
    for name in _LOADERS:
        found = _look(name)
        if isinstance(found, SettingsError):
            troubles.append(str(found))
            if not isinstance(found, EngineMissingError):
                fact(_log, logging.WARNING, "engine passed over", name=name, reason=found)
        else:
            return found
    raise SettingsError(f"no engine works here: {'; '.join(troubles)}")


def _look(name: str) -> EngineKind | SettingsError:
    try:
        return _LOADERS[name]()
    except SettingsError as exc:
        return exc


def _quinn() -> EngineKind:
    from quictunnel.quic.engines.quinn import (  # noqa: PLC0415 - see the top
        endpoint,
        endpoint_socket,
        extension,
    )

    try:
        version = extension.version()
    except ModuleNotFoundError as exc:
        if exc.name != extension.MODULE:
            raise SettingsError(f"the quinn engine does not work: {exc}") from exc
        raise EngineMissingError(f"the quinn engine is not installed ({INSTALL})") from None
    except ImportError as exc:
        raise SettingsError(f"the quinn engine does not work: {exc}") from exc
    return EngineKind("quinn", version, endpoint.QuinnEndpoint, endpoint_socket.QuinnEndpointSocket)


def _aioquic() -> EngineKind:
    from quictunnel.quic.engines.aioquic import (  # noqa: PLC0415 - see the top
        VERSION,
        endpoint,
        endpoint_socket,
    )

    return EngineKind(
        "aioquic", VERSION, endpoint.AioquicEndpoint, endpoint_socket.AioquicEndpointSocket
    )


_LOADERS: dict[str, Callable[[], EngineKind]] = {"quinn": _quinn, "aioquic": _aioquic}
"""How each engine is looked at, in the order in which `auto` takes them."""
