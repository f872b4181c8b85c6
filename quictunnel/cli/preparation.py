"""Prepares a role without running it, for the commands that only look at its settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from quictunnel.cli import options
from quictunnel.cli.config_option import read_document
from quictunnel.cli.prepared import PreparedRole
from quictunnel.snapshots import RoleName

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file.", show_default=False)]

RoleOption = Annotated[
    RoleName | None,
    options.OPTIONS.option(
        "--role",
        "The command that the file is for.",
        show_default="origin if the file has 'remote' or a service, otherwise remote",
    ),
]


def role_of(ctx: typer.Context, file: Path, role: RoleName | None) -> RoleName:
    """Return the role that a file is for.

    :param role: the value of `--role`.
    :raises SettingsError: the file cannot be read, or it is not TOML.
    """
    return role or ("origin" if read_document(ctx, file).is_origins else "remote")


def config_argument(file: Path) -> str:
    """Return the argument that gives a command this file."""
    return f"--config={file}"


@contextlib.contextmanager
def prepared(
    ctx: typer.Context, role: RoleName, arguments: Sequence[str]
) -> Iterator[tuple[PreparedRole, Any]]:
    """Run the first half of a role's command.

    Provide its result, and the command's context.

    :param arguments: those of the command; `config_argument` for a file alone.
    :raises SettingsError: an option or the file is invalid.
    :raises typer.TyperException: an option is missing or has a value of a wrong type.
    """
    program = ctx.find_root()
    command = cast("TyperGroup", program.command).commands[role]
    # The program is the parent, so that errors name the role's command and its help.
    with command.make_context(role, [*arguments], parent=program) as context:
        yield cast("PreparedRole", command.invoke(context)), context
