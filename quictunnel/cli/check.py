"""`quictunnel check`: validates a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from typer.core import TyperGroup

from quictunnel.cli import options
from quictunnel.cli.config_option import read_document
from quictunnel.cli.output import print_line
from quictunnel.cli.prepared import PreparedRole
from quictunnel.config.settings import OriginSettings
from quictunnel.observe.log_format import escape

RoleName = Literal["remote", "origin"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file.", show_default=False)]

Role = Annotated[
    RoleName | None,
    options.OPTIONS.option(
        "--role",
        "The command that the file is for.",
        show_default="origin if the file has 'remote' or a service, otherwise remote",
    ),
]


def check(ctx: typer.Context, file: File, *, role: Role = None) -> None:
    """Check a configuration file without starting anything.

    Examples:
      quictunnel check origin.toml
      quictunnel check --role remote /etc/quictunnel/settings.toml

    It reads the file as 'quictunnel remote --config FILE' or 'quictunnel origin --config FILE'
    does, with the token and certificate files that it names. It connects to nothing and creates no
    files. The exit code is 0 if the file is valid, otherwise 2.
    """
    name = role or ("origin" if read_document(ctx, file).is_origins else "remote")
    prepared = _prepare(ctx, name, file)
    result = f"{file}: ok"
    if isinstance(prepared.settings, OriginSettings):
        count = len(prepared.settings.services)
        result += ": 1 service" if count == 1 else f": {count} services"
    print_line(escape(result))


def _prepare(ctx: typer.Context, name: RoleName, file: Path) -> PreparedRole:
    """Run the first half of a role's command, as if `--config` were its only option.

    :raises SettingsError: the file is invalid.
    """
    program = ctx.find_root()
    command = cast("TyperGroup", program.command).commands[name]
    # The program is the parent, so that errors name the role's command and its help.
    with command.make_context(name, [f"--config={file}"], parent=program) as context:
        return cast("PreparedRole", command.invoke(context))
