"""The commands about tokens that a remote prints at its start, with the options that they need."""

from __future__ import annotations

import os
import shlex

from quictunnel.cli.config_option import Sources
from quictunnel.config.addresses import EVERY_ADDRESS, HostPort
from quictunnel.config.settings import RemoteSettings


class TokenCommands:
    """Commands that another shell, with another environment, can run for a remote.

    :param sources: where the values of the remote's options come from.
    """

    def __init__(self, settings: RemoteSettings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        file = None if sources.config is None else sources.config.path
        self._file = file if file is not None and file.is_file() else None  # no pipe

    def show_token(self, port: int) -> str:
        """Return the command that prints the remote's own token.

        :param port: the port for origins, which is not that of the settings if they have port 0.
        """
        listen = self._settings.listen
        words = self._words("show")
        if self._is_needed("--listen") or listen.port != port:
            is_every = listen.host == EVERY_ADDRESS
            words += ["--listen", str(port if is_every else HostPort(listen.host, port))]
        return shlex.join(words)

    def list_tokens(self) -> str:
        """Return the command that lists the remote's tokens."""
        return shlex.join(self._words("list"))

    def _words(self, name: str) -> list[str]:
        words = ["quictunnel", "token", name]
        if self._file is not None:
            words += ["--config", str(self._file)]
        # Another shell than the service's has no STATE_DIRECTORY, and so another default.
        is_services = "STATE_DIRECTORY" in os.environ and not self._sources.is_set("--state-dir")
        if is_services or self._is_needed("--state-dir"):
            words += ["--state-dir", str(self._settings.state_dir)]
        return words

    def _is_needed(self, option: str) -> bool:
        """Return whether an option has a value that is neither the default nor in the file."""
        if self._file is not None and self._sources.is_from_file(option):
            return False
        return self._sources.is_set(option)
