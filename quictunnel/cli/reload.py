"""Applies a changed configuration file to a running role: when the file changes, or on SIGHUP.

The first half of the command runs again, with the same command line and environment. If it fails,
nothing changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import typer

from quictunnel.cli import config_option, logging_setup
from quictunnel.cli.file_watch import FileWatch
from quictunnel.cli.prepared import PreparedRole
from quictunnel.config.files import why
from quictunnel.errors import SettingsError
from quictunnel.events import (
    ConfigurationRejected,
    ConfigurationReloaded,
    EventSink,
    InternalErrorOccurred,
)

Result = TypeVar("Result")

ARGUMENTS = "quictunnel.arguments"
"""The key of the command's arguments in `Context.meta`."""

_KEYS = {"trusted_proxies": "trusted-proxy", "tokens": "token"}
"""Keys that differ from the names of the settings that they set."""


class Reload:
    """Prepares a role again from its configuration file.

    :param ctx: the context of the role's command.
    :param path: the file of `--config`.
    :param others: further files to watch: those of secrets and of networks.
    """

    def __init__(self, ctx: typer.Context, path: Path, others: Sequence[Path]) -> None:
        self._ctx = ctx
        self._path = path
        self._files = FileWatch((path, *others))
        self.is_rejected = False
        """Whether the present content of the files is invalid, so that an older one is in use."""

    @property
    def takes_hangup(self) -> bool:
        """Whether SIGHUP asks for a reload. On a terminal, it says that the terminal has closed."""
        stdin: TextIO | None = sys.stdin  # None if the parent process has closed it
        return stdin is None or not stdin.isatty()

    async def watch(self, apply: Callable[[PreparedRole], Iterable[str]], emit: EventSink) -> None:
        """Reload whenever a file has changed, until this task is cancelled.

        :param apply: applies the settings; returns the fields for which a restart is needed.
        """
        await self._files.run(partial(self.reload, apply, emit))

    def reload(self, apply: Callable[[PreparedRole], Iterable[str]], emit: EventSink) -> None:
        """Read the files again, and apply what has changed. A bad file changes nothing."""
        self._files.mark_read()

        def load() -> list[str]:
            with logging_setup.restored_after_failure():
                prepared = _prepare_again(self._ctx)
            pending = apply(prepared)
            self._files.mark_read((self._path, *prepared.files))
            return sorted(_KEYS.get(name, name.replace("_", "-")) for name in pending)

        pending = attempt(self._path, load, emit)
        self.is_rejected = pending is None
        if pending is not None:
            emit(ConfigurationReloaded(str(self._path), tuple(pending)))


def attempt(path: Path, load: Callable[[], Result], emit: EventSink) -> Result | None:
    """Read a file again and apply it. If that fails, emit why, and return None.

    :param load: reads the file and applies what has changed.
    """
    try:
        return load()
    except SettingsError as exc:
        emit(ConfigurationRejected(str(path), str(exc)))
    except OSError as exc:
        emit(ConfigurationRejected(str(path), why(exc)))
    except Exception as exc:  # a bug must not end the role, nor the watch
        emit(InternalErrorOccurred("reloading the configuration", exc, None))
    return None


def _prepare_again(ctx: typer.Context) -> PreparedRole:
    """Run the first half of a command again.

    :raises SettingsError: an option, or the file, is invalid now.
    """
    command: Any = ctx.command
    try:
        # Without a parent, the new context shares nothing with the old one.
        with command.make_context(ctx.command_path, [*ctx.meta[ARGUMENTS]]) as again:
            return cast("PreparedRole", command.invoke(again))
    except typer.TyperException as exc:
        sentence = config_option.describe(exc) or exc.format_message()
        raise SettingsError(sentence.removesuffix(".")) from exc
