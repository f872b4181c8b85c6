"""Selects the QUIC engine: which exist, which are installed, and which one is used.

An engine is imported only when it is selected or listed, so a missing or broken engine affects
nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from quictunnel.config.settings import Congestion
from quictunnel.errors import SettingsError
from quictunnel.events import EngineSelected, EngineSkipped, EventSink, discard_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.engine import EndpointFactory, EndpointSocketFactory

DEFAULT_CONGESTION = "bbr"
"""The congestion control of both engines."""

_INSTALLERS = {
    "pipx_metadata.json": "pipx inject quictunnel ./engine",
    "uv-receipt.toml": "uv tool install --force --with ./engine .",
}
"""The commands that add the engine to an installation, by the file that its installer has left."""


def install_advice(prefix: Path) -> str:
    """Return how to add the quinn engine to an installation.

    It names no package index: until the package is published there, a stranger could publish one
    under its name.

    :param prefix: the folder of the installation, such as `sys.prefix`.
    """
    found = (command for name, command in _INSTALLERS.items() if (prefix / name).exists())
    command = next(found, "pip install ./engine")
    return f"{command} in a clone of the repository, which needs Rust"


class EngineMissingError(SettingsError):
    """The engine is not installed, which is an error only if it was asked for by name."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that can be used."""

    name: str
    """The engine's name, as in `--engine`."""
    version: str
    """The version of its QUIC library."""
    endpoint: EndpointFactory
    """Creates the endpoint of a socket."""
    endpoint_socket: EndpointSocketFactory
    """Joins an endpoint with its socket and the event loop."""


def select(engine: str, congestion: str | None, emit: EventSink = discard_event) -> EngineKind:
    """Return the engine with this name, or for `auto` the fastest one that works.

    :param congestion: the congestion control; None for the engine's default.
    :param emit: consumes `EngineSkipped`, once for each engine that is installed and does not work.
    :raises SettingsError: the engine is not installed or does not work, or the congestion control
        does not exist.
    """
    if congestion is not None and congestion not in get_args(Congestion):
        raise SettingsError(f"{congestion!r} is not a congestion control: use bbr, cubic or reno")
    if engine == "auto":
        return _select_fastest(emit)
    if engine not in _LOADERS:
        raise SettingsError(f"{engine!r} is not an engine: use auto, aioquic or quinn")
    return _LOADERS[engine]()


def report_selected(engine: str, congestion: str | None, emit: EventSink) -> EngineKind:
    """Emit `EngineSelected` for the engine that `select` returns, and return it.

    :raises SettingsError: as `select`.
    """
    kind = select(engine, congestion, emit)
    emit(EngineSelected(kind.name, kind.version, congestion or DEFAULT_CONGESTION))
    return kind


def installed() -> dict[str, EngineKind | SettingsError]:
    """Return each engine, fastest first, or the reason why it cannot be used."""
    return {name: _load(name) for name in _LOADERS}


_skipped: set[str] = set()


def _select_fastest(emit: EventSink) -> EngineKind:
    reasons = []
    for name in _LOADERS:
        found = _load(name)
        if not isinstance(found, SettingsError):
            return found
        reasons.append(str(found))
        if not isinstance(found, EngineMissingError) and name not in _skipped:
            _skipped.add(name)  # once per process: every link selects its engine
            emit(EngineSkipped(name, str(found)))
    raise SettingsError(f"no engine works on this machine: {'; '.join(reasons)}")


@cache
def _load(name: str) -> EngineKind | SettingsError:
    try:
        return _LOADERS[name]()
    except SettingsError as exc:
        return exc


def _quinn() -> EngineKind:
    from quictunnel.quic.engines.quinn import (  # noqa: PLC0415 - imported when it is used
        endpoint,
        endpoint_socket,
        extension,
    )

    try:
        version = extension.version()
    except ModuleNotFoundError as exc:
        if exc.name != extension.MODULE:
            raise SettingsError(f"the quinn engine does not work: {exc}") from exc
        advice = install_advice(Path(sys.prefix))
        raise EngineMissingError(f"the quinn engine is not installed ({advice})") from None
    except ImportError as exc:
        raise SettingsError(f"the quinn engine does not work: {exc}") from exc
    return EngineKind("quinn", version, endpoint.QuinnEndpoint, endpoint_socket.QuinnEndpointSocket)


def _aioquic() -> EngineKind:
    from quictunnel.quic.engines.aioquic import (  # noqa: PLC0415 - imported when it is used
        VERSION,
        endpoint,
        endpoint_socket,
    )

    return EngineKind(
        "aioquic", VERSION, endpoint.AioquicEndpoint, endpoint_socket.AioquicEndpointSocket
    )


_LOADERS: dict[str, Callable[[], EngineKind]] = {"quinn": _quinn, "aioquic": _aioquic}
"""Loads each engine, fastest first."""
