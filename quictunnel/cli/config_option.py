"""The option `--config`: values of options from a file, and errors that name the file's key.

The option is processed before all others. It sets the context's `default_map`, in which click looks
for values that neither the command line nor the environment has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

from quictunnel.cli import options
from quictunnel.config.files import read_text, warn_if_exposed
from quictunnel.config.grants import Grant
from quictunnel.config.hosts import HostName, parse_host
from quictunnel.config.policy import Place, Policy
from quictunnel.config.tokens import Token
from quictunnel.config.toml import Config, Document, parse, read_config
from quictunnel.config.values import Kind
from quictunnel.errors import OutOfRange, SettingsError
from quictunnel.events import EventSink

_DOCUMENTS = "quictunnel.documents"
_CONFIG = "quictunnel.config"
"""Keys of `Context.meta`."""

_FROM_FILE = "DEFAULT_MAP"
_FROM_USER = ("COMMANDLINE", "ENVIRONMENT")
"""Names of click's parameter sources."""


def read_document(ctx: typer.Context, path: Path) -> Document:
    """Return a file's content. It is read once per run, because it may be a pipe.

    :raises SettingsError: it cannot be read, or it is not TOML.
    """
    documents: dict[Path, Document] = ctx.meta.setdefault(_DOCUMENTS, {})
    if path not in documents:
        documents[path] = parse(read_text(path, "the configuration file"), path)
    return documents[path]


def _load(ctx: typer.Context, path: Path | None) -> Path | None:
    """Let the file's values be the defaults of the command's other options.

    :raises SettingsError: the file cannot be read, a key is unknown, or a type is wrong.
    """
    if path is not None and not ctx.resilient_parsing:
        keys = keys_of(ctx.command)
        config = read_config(read_document(ctx, path), keys, has_services="origin" in keys)
        ctx.meta[_CONFIG] = config
        ctx.default_map = {key.replace("-", "_"): value for key, value in config.values.items()}
    return path


ConfigFile = Annotated[
    Path | None,
    options.OPTIONS.option(
        "--config FILE",
        "A TOML file with options: 'hold = \"1h\"' in it means --hold 1h. The command line and "
        "environment variables have precedence. A relative path in the file starts at the file's "
        "folder. An origin's file may have services, and a remote's file rights of tokens and "
        "policies for clients. Changes are applied while the program runs. "
        "'quictunnel check FILE' checks a file.",
        is_eager=True,
        callback=_load,
    ),
]


def load_remotes(ctx: typer.Context, path: Path | None, *, keys: Collection[str]) -> Path | None:
    """Let values of a remote's file be the defaults of another command's options.

    :param keys: those of the remote's keys that are options of the command.
    :raises SettingsError: as `_load`.
    """
    if path is not None and not ctx.resilient_parsing:
        remote = cast("TyperGroup", ctx.find_root().command).commands["remote"]
        config = read_config(read_document(ctx, path), keys_of(remote), has_services=False)
        ctx.meta[_CONFIG] = config
        values = {key: value for key, value in config.values.items() if key in keys}
        ctx.default_map = {key.replace("-", "_"): value for key, value in values.items()}
    return path


def _load_for_tokens(ctx: typer.Context, path: Path | None) -> Path | None:
    return load_remotes(ctx, path, keys=("listen", "state-dir"))


RemotesConfigFile = Annotated[
    Path | None,
    options.OPTIONS.option(
        "--config FILE",
        "The remote's configuration file, for its listen, state-dir and tokens.",
        is_eager=True,
        callback=_load_for_tokens,
    ),
]


class Sources:
    """Where the values of a command's options come from."""

    def __init__(self, ctx: typer.Context) -> None:
        self._ctx = ctx
        self.config: Config | None = ctx.meta.get(_CONFIG)
        """The file of `--config`, if it was given."""

    def name(self, option: str) -> str:
        """Return an option's name for messages: `--hold`, or `origin.toml: hold` from a file."""
        if self.config is not None and self.is_from_file(option):
            return f"{self.config.path}: {option.removeprefix('--')}"
        return option

    def is_from_file(self, option: str) -> bool:
        """Return whether the file sets an option that is set nowhere else."""
        return _source(self._ctx, option.removeprefix("--")) == _FROM_FILE

    def is_set(self, option: str) -> bool:
        """Return whether the command line, the environment or the file sets an option."""
        return _source(self._ctx, option.removeprefix("--")) in (*_FROM_USER, _FROM_FILE)

    def is_on_command_line(self, option: str) -> bool:
        """Return whether an option is given on the command line."""
        return _source(self._ctx, option.removeprefix("--")) == "COMMANDLINE"

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Put the file's name in front of errors that name no option, or the option itself.

        Such an error may concern a combination of values. If some of them do not come from the
        file, the error says so.
        """
        try:
            yield
        except options.OptionError:
            raise
        except OutOfRange as exc:
            raise options.OptionError(f"{self.name(f'--{exc.key}')}: {exc.sentence}") from exc
        except SettingsError as exc:
            if self.config is None:
                raise
            given = {param.name for param in self._ctx.command.params} - {"config"}
            is_mixed = any(_source(self._ctx, name) in _FROM_USER for name in given)
            place = f"an option or {self.config.path}" if is_mixed else str(self.config.path)
            raise SettingsError(f"{place}: {exc}") from exc

    def files(self, *secret_files: Path | None) -> tuple[Path, ...]:
        """Return the files to watch: those of secrets, and those that the file names.

        :param secret_files: the values of `--token-file` and `--admin-token-file`.
        """
        own = tuple(path for path in secret_files if path is not None)
        return own if self.config is None else (*own, *self.config.files)

    def tokens(self, emit: EventSink) -> tuple[tuple[Token, ...], dict[str, Grant]]:
        """Return the tokens and the rights of a remote's file, if there is one."""
        return ((), {}) if self.config is None else self.config.tokens(emit)

    def hosts_of_tokens(self) -> list[HostName]:
        """Return the host names of all tables of tokens in a remote's file.

        :raises SettingsError: one is not valid.
        """
        if self.config is None:
            return []
        tables = self.config.token_tables
        return [
            options.read(f"{self.config.path}: token.{name}.hosts", parse_host, text)
            for name, table in tables.items()
            for text in cast("list[str]", table.get("hosts", []))
        ]

    def policies(self) -> dict[Place, Policy]:
        """Return the policies of a remote's file, if there is one."""
        return {} if self.config is None else self.config.policies()

    def warn_if_exposed(self, emit: EventSink) -> None:
        """Emit `SecretExposed` if the file has a secret and other users can read the file."""
        if self.config is None:
            return
        has_secret = any("secret" in table for table in self.config.token_tables.values())
        values = self.config.values
        has_secret |= "@" in str(values.get("proxy", ""))  # a user name, and perhaps a password
        if has_secret or not {"token", "admin-token"}.isdisjoint(values):
            warn_if_exposed(self.config.path, emit)


def describe(exc: typer.TyperException) -> str | None:
    """Return the sentence about an option that a file sets or lacks; None for other errors."""
    if not isinstance(exc, typer.BadParameter) or exc.ctx is None or exc.param is None:
        return None
    config: Config | None = exc.ctx.meta.get(_CONFIG)
    if config is None:
        return None
    key = exc.param.opts[0].removeprefix("--")
    if not exc.message:  # a required option that was not given
        return f"{config.path}: {key!r} is missing"
    if _source(exc.ctx, key) == _FROM_FILE:
        return f"{config.path}: {key}: {exc.message}"
    return None


def _source(ctx: Any, key: str) -> str | None:  # noqa: ANN401 - the base class is private
    source = ctx.get_parameter_source(key.replace("-", "_"))
    return None if source is None else str(source.name)


def keys_of(command: Any) -> dict[str, Kind]:  # noqa: ANN401 - a private type
    """Return the keys that a command's file may have: its own options except `--config`."""
    hints = get_type_hints(command.callback)
    return {
        param.opts[0].removeprefix("--"): _kind(hints[param.name])
        for param in command.params
        if param.param_type_name == "option" and param.name in hints and param.name != "config"
    }


def _kind(hint: object) -> Kind:
    if hint is bool:
        return "flag"
    if get_origin(hint) is list:
        return "texts"
    return "path" if hint is Path or Path in get_args(hint) else "text"
