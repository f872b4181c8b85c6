"""Prepares a role from a file without running it, for the commands that only read the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup

from quictunnel.cli import options
from quictunnel.cli.config_option import read_document
from quictunnel.cli.prepared import PreparedRole

RoleName = Literal["remote", "origin"]

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


@contextlib.contextmanager
def prepared(ctx: typer.Context, role: RoleName, file: Path) -> Iterator[tuple[PreparedRole, Any]]:
    """Run the first half of a role's command, as if `--config` were its only option.

    Provide its result, and the command's context.

    :raises SettingsError: the file is invalid.
    """
    program = ctx.find_root()
    command = cast("TyperGroup", program.command).commands[role]
    # The program is the parent, so that errors name the role's command and its help.
    with command.make_context(role, [f"--config={file}"], parent=program) as context:
        yield cast("PreparedRole", command.invoke(context)), context
