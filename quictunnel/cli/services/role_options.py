"""Turns the options of a role into the definition of a service.

The role's own command parses and checks them first. An option that comes from the environment is
an option of the service too, because the service has another environment.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from quictunnel.cli.config_option import Sources, keys_of
from quictunnel.cli.preparation import prepared
from quictunnel.cli.prepared import PreparedRole
from quictunnel.cli.services.definition import PREFIX, Scope, ServiceDefinition
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.values import STANDARD_STREAM
from quictunnel.errors import SettingsError
from quictunnel.snapshots import RoleName

PROGRAM = "quictunnel"

FIRST_FREE_PORT = 1024
"""The lowest port that needs no right, on most machines."""

_SECRETS = {"token": "token-file", "admin-token": "admin-token-file"}
"""Options that are secrets, and the option that reads the same from a file."""

_SECRET_FILES = (*_SECRETS.values(), "cert", "key")

_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch

_relative_socket = re.compile(r"((?:[^=]*=)?unix:)([^/].*)").fullmatch


def service_name(role: RoleName, name: str | None) -> str:
    """Return the service's name at the service manager.

    :param name: the value of `--name`; None for the role.
    :raises SettingsError: it has characters that file names and units should not have.
    """
    if name is None:
        return f"{PREFIX}{role}"
    if not _name(name):
        raise SettingsError(
            f"--name {name!r} is no name of a service; use up to 64 letters, digits, dots, dashes "
            "and underscores"
        )
    return f"{PREFIX}{name.removeprefix(PREFIX)}"


def define(
    ctx: typer.Context, role: RoleName, name: str | None, scope: Scope, options: Sequence[str]
) -> ServiceDefinition:
    """Return a service for a role with these options.

    :param ctx: the context of the command that installs it.
    :raises SettingsError: an option is not valid, or a service cannot have it.
    """
    own_name = service_name(role, name)
    with prepared(ctx, role, options) as (role_prepared, context):
        values = _given(context)
        sources = Sources(context)
        settings = role_prepared.settings
        _check_proxy(values)
        secrets = {file: tuple(values.pop(key)) for key, file in _SECRETS.items() if key in values}
        files = {key: Path(values.pop(key)[0]) for key in _SECRET_FILES if key in values}
        if both := secrets.keys() & files.keys():
            file = min(both)
            one = file.removesuffix("-file")
            raise SettingsError(f"--{one} and --{file} are both given; a service takes one")
        has_state = sources.is_set("--state-dir")
    service = ServiceDefinition(
        role=role,
        name=own_name,
        scope=scope,
        program=_program(),
        options=tuple(_words(values)),
        files=files,
        secrets=secrets,
        grace=settings.grace,
        has_config="config" in values,
        has_low_ports=isinstance(settings, RemoteSettings) and _has_low_ports(settings),
        sockets=settings.sockets if isinstance(settings, RemoteSettings) else None,
        has_state_option=has_state,
        reads=tuple(_read_files(role_prepared, values, files)),
    )
    _check_words(service)
    return service


def _check_proxy(values: Mapping[str, Sequence[str]]) -> None:
    """Check that no proxy's password would be in the definition of a service.

    :raises SettingsError: it would be.
    """
    if any("@" in text for text in values.get("proxy", ())):
        raise SettingsError(
            "--proxy has a user name or a password, and every user of this machine can read the "
            "definition of a service; write 'proxy' into a configuration file that only the "
            "service's user can read, and give the service --config"
        )


def _check_words(service: ServiceDefinition) -> None:
    """Check that every service manager can read the words of a command from a text file.

    A line break would otherwise add lines to a unit, and so commands that root runs.

    :raises SettingsError: a word has a control character, or is not valid Unicode.
    """
    for word in (*service.command, *map(str, service.files.values())):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in word):
            raise SettingsError(
                f"{word!r} has a control character or is not UTF-8, which the file of a service "
                "cannot contain; use another name"
            )


def _given(context: Any) -> dict[str, list[str]]:  # noqa: ANN401 - a private type
    """Return the options that the user has given, by name, with their values as text."""
    paths = {key for key, kind in keys_of(context.command).items() if kind == "path"} | {"config"}
    given: dict[str, list[str]] = {}
    for param in context.command.params:
        source = context.get_parameter_source(param.name)
        if source is None or source.name not in ("COMMANDLINE", "ENVIRONMENT"):
            continue
        is_option = param.param_type_name == "option"
        # An argument is another form of the option `origin`.
        key = param.opts[0].removeprefix("--") if is_option else "origin"
        value = context.params[param.name]
        texts = [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
        if key in paths:
            texts = [text if text == STANDARD_STREAM else os.path.abspath(text) for text in texts]
        elif key == "origin":
            texts = [_absolute_socket(text) for text in texts]
        elif value is True:
            texts = []  # a flag
        elif value is False:
            continue
        given[key] = given.get(key, []) + texts
    return given


def _absolute_socket(text: str) -> str:
    found = _relative_socket(text)
    return f"{found[1]}{Path.cwd() / found[2]}" if found else text


def _words(values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for key, texts in values.items():
        if not texts:
            yield f"--{key}"
        for text in texts:
            # In one word, so that a value that begins with a dash is no option.
            yield from ((f"--{key}={text}",) if text.startswith("-") else (f"--{key}", text))


def _program() -> tuple[str, ...]:
    """Return the words that start this installation of quictunnel."""
    started = Path(sys.argv[0]).absolute()
    if started.name == PROGRAM and os.access(started, os.X_OK) and started.is_file():
        return (str(started),)
    script = Path(sysconfig.get_path("scripts")) / PROGRAM
    return (str(script),) if script.exists() else (sys.executable, "-m", PROGRAM)


def _has_low_ports(settings: RemoteSettings) -> bool:
    single = (
        settings.listen,
        settings.websocket,
        settings.outside,
        settings.tls,
        settings.http,
        settings.admin,
    )
    ports = [place.port for place in single if place is not None]
    ports += [allowed.first for allowed in settings.ports]
    return any(0 < port < FIRST_FREE_PORT for port in ports)


def _read_files(
    role: PreparedRole, values: Mapping[str, Sequence[str]], passed_on: Mapping[str, Path]
) -> Iterator[Path]:
    """Yield the files that the service reads itself."""
    settings = role.settings
    files = [Path(text) for text in values.get("config", ())]
    files += role.files
    if isinstance(settings, OriginSettings):
        files += [path for path in (settings.ca, settings.websocket_ca) if path is not None]
    else:
        files += [path for path in (settings.cert, settings.key) if path is not None]
    others = {path.resolve() for path in passed_on.values()}
    for path in dict.fromkeys(path.absolute() for path in files):
        if path.resolve() not in others:
            yield path
