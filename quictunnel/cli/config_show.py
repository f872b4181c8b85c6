"""`quictunnel config show`: prints the configuration in force for a file, as TOML."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from quictunnel.cli.config_option import Sources, keys_of
from quictunnel.cli.output import print_line
from quictunnel.cli.preparation import File, RoleOption, config_argument, prepared, role_of
from quictunnel.cli.token_check import check_tokens
from quictunnel.config.accepted_tokens import StateTokens
from quictunnel.config.policy_tables import POLICY
from quictunnel.config.policy_values import POLICY_KEYS
from quictunnel.config.proxies import NO_PROXY, Proxy, environment_proxy, parse_proxy
from quictunnel.config.service_tables import SERVICE, SERVICE_KEYS
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.state import TOKEN_FILE
from quictunnel.config.token_store import TokenStore
from quictunnel.config.token_tables import TOKEN, TOKEN_KEYS
from quictunnel.config.tokens import Token
from quictunnel.config.toml_writer import TomlValue, format_table, format_value
from quictunnel.config.values import STANDARD_STREAM, Kind, Table, Value
from quictunnel.errors import SettingsError
from quictunnel.escaping import escape
from quictunnel.quic.engines.selection import DEFAULT_CONGESTION

HIDDEN = "********"
"""Stands for a secret."""

_DEFAULT = "default"
"""Says that a value comes from neither the file nor the environment."""

_WIDTH = 40
"""Characters of a value, at most, that move the comments of all values to the right."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


def show(ctx: typer.Context, file: File, *, role: RoleOption = None) -> None:
    """Print the configuration in force for a file, with secrets hidden.

    Examples:
      quictunnel config show remote.toml
      quictunnel config show --role remote /etc/quictunnel/settings.toml

    The output is TOML. It has every option with the value that 'quictunnel remote --config FILE' or
    'quictunnel origin --config FILE' would use in this environment, and where the value comes from.
    It also has the services, the tokens and the policies, with the tokens in the remote's state
    directory. Paths are absolute. The errors and exit codes are those of 'quictunnel check'.
    """
    name = role_of(ctx, file, role)
    with prepared(ctx, name, [config_argument(file)]) as (result, context):
        settings, options, sources = result.settings, _Options(context), Sources(context)
    config = sources.config
    assert config is not None  # the file
    head = [escape(f"# quictunnel {name} --config {file}")]
    if isinstance(settings, OriginSettings):
        head += ["", *options.lines(*_origin_defaults(settings))]
        tables = [*_tables(SERVICE, SERVICE_KEYS, config.service_tables)]
    else:
        state, warnings = check_tokens(settings, file)
        head += [escape(f"# {warning}") for warning in warnings]
        head += ["", *options.lines(_machine_defaults(settings))]
        tables = [
            *_token_tables(config.token_tables, options, state),
            *_tables(POLICY, POLICY_KEYS, config.policy_tables),
        ]
    print_line("\n".join([*head, *tables]))


class _Options:
    """The options of a role's command, and where their values come from.

    :param context: the context of the command, which has been prepared.
    """

    def __init__(self, context: Any) -> None:  # noqa: ANN401 - a private type
        self._context = context
        self._kinds = keys_of(context.command)

    @property
    def tokens(self) -> list[Token]:
        """The tokens of the option `token` of a remote."""
        return [Token.parse(text) for text in self._context.params["token"]]

    def lines(
        self, defaults: Mapping[str, TomlValue], places: Mapping[str, str] = MappingProxyType({})
    ) -> list[str]:
        """Return a line for each option, with a comment that says where the value comes from.

        :param defaults: values of options whose default depends on the machine or on others.
        :param places: where some of these defaults come from, in words.
        """
        rows = [
            (text, places.get(key, comment) if comment == _DEFAULT else comment)
            for param in self._context.command.params
            if (row := self._row(param, defaults))
            for key, text, comment in [row]
        ]
        width = max(len(text) for text, _ in rows if len(text) <= _WIDTH)
        return [f"{text:<{width}}  # {comment}" if comment else text for text, comment in rows]

    def source(self, key: str) -> str:
        """Return where the value of an option comes from, in words."""
        source = self._context.get_parameter_source(key.replace("-", "_")).name
        if source == "ENVIRONMENT":
            return f"environment: QUICTUNNEL_{key.replace('-', '_').upper()}"
        return "file" if source == "DEFAULT_MAP" else _DEFAULT

    def _row(self, param: Any, defaults: Mapping[str, TomlValue]) -> tuple[str, str, str] | None:  # noqa: ANN401 - a private type
        """Return the key of an option, its line, and where the value comes from."""
        key = param.opts[0].removeprefix("--")
        if key not in self._kinds:
            return None
        value = self._context.params[param.name]
        if value is None or value in ([], ()):
            if key not in defaults:
                hint = f": {param.show_default}" if isinstance(param.show_default, str) else ""
                return key, f"# {key} is not set{hint}", ""
            shown = defaults[key]
        elif key == "token":
            if self._kinds[key] == "texts":
                return key, "# token: see the tables below", ""
            shown = f"{Token.parse(value).id}.{HIDDEN}"
        elif key == "admin-token":
            shown = HIDDEN
        elif key == "proxy":
            shown = value if value == NO_PROXY else _without_login(parse_proxy(value))
        else:
            shown = _typed(self._kinds[key], value)
        return key, f"{key} = {format_value(shown)}", self.source(key)


def _origin_defaults(settings: OriginSettings) -> tuple[dict[str, TomlValue], dict[str, str]]:
    """Return the values of an origin's options that have no constant default.

    Return also where some of them come from, in words.
    """
    defaults: dict[str, TomlValue] = {"name": settings.name, "congestion": DEFAULT_CONGESTION}
    places: dict[str, str] = {}
    if (url := settings.websocket_url) is not None:
        defaults["websocket"] = str(url)
        with contextlib.suppress(SettingsError):  # the role warns of it, and uses no proxy
            if (found := environment_proxy(os.environ, url.server)) is not None:
                defaults["proxy"] = _without_login(found.proxy)
                places["proxy"] = f"environment: {found.variable}"
    return defaults, places


def _without_login(proxy: Proxy) -> str:
    """Return a proxy's URL with its user name and password hidden."""
    login = f"{HIDDEN}@" if proxy.user else ""
    return f"{proxy.scheme}://{login}{proxy.server}"


def _machine_defaults(settings: RemoteSettings) -> dict[str, TomlValue]:
    """Return the values of a remote's options that have no constant default."""
    defaults: dict[str, TomlValue] = {
        "state-dir": os.path.abspath(settings.state_dir),
        "congestion": DEFAULT_CONGESTION,
    }
    if settings.websocket is not None:
        defaults["websocket-path"] = settings.websocket_path
    if settings.accept_proxy_protocol or settings.websocket is not None:
        defaults["trusted-proxy"] = list(map(str, settings.trusted_proxies))
    return defaults


def _token_tables(
    tables: Mapping[str, Table], options: _Options, state: StateTokens
) -> Iterator[str]:
    """Yield the tables of all tokens that have one, or whose secret is no other file's."""
    shown = {name: _typed_table(TOKEN_KEYS, table) for name, table in tables.items()}
    places = {name: ["file"] for name in shown}

    def add(token_id: str, place: str, table: Mapping[str, TomlValue] | None = None) -> None:
        shown.setdefault(token_id, {}).update(table or {"secret": HIDDEN})
        places.setdefault(token_id, []).append(place)

    for token in options.tokens:
        add(token.id, options.source("token"))
    if state.own is not None:
        add(state.own.id, str(state.directory / TOKEN_FILE))
    if state.added:
        store = TokenStore(state.directory)
        for name, table in store.tables().items():
            add(name, str(store.path), _typed_table(TOKEN_KEYS, table))
    for name, content in shown.items():
        yield ""
        yield f"# {escape(', '.join(places[name]))}"
        yield format_table((TOKEN, name), content).rstrip("\n")


def _tables(kind: str, keys: Mapping[str, Kind], tables: Mapping[str, Table]) -> Iterator[str]:
    for name, table in tables.items():
        yield ""
        yield format_table((kind, name), _typed_table(keys, table)).rstrip("\n")


def _typed_table(keys: Mapping[str, Kind], table: Table) -> dict[str, TomlValue]:
    return {
        key: HIDDEN if key == "secret" else _typed(keys[key], value) for key, value in table.items()
    }


def _typed(kind: Kind, value: Value | Path) -> TomlValue:
    """Return a value as a file has it: numbers and dates are no text, and paths are absolute."""
    if isinstance(value, bool):
        return value
    if kind == "path" and str(value) != STANDARD_STREAM:
        return os.path.abspath(value)  # type: ignore[arg-type] # a list has another kind
    if kind == "date":
        text = str(value)
        return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    if isinstance(value, str | Path):
        text = str(value)
        return int(text) if _NUMBER.fullmatch(text) else text
    return list(value)
