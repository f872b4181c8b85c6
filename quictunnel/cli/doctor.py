"""`quictunnel doctor`: finds out why a tunnel does not work, and says what to do.

`quictunnel doctor origin` and `quictunnel doctor remote` have the options of the role's command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer
from typer.core import TyperGroup

from quictunnel.cli import options
from quictunnel.cli.config_option import Sources
from quictunnel.cli.preparation import RoleOption, config_argument, role_of
from quictunnel.cli.reload import ARGUMENTS
from quictunnel.errors import SettingsError
from quictunnel.snapshots import RoleName

_JSON = "--json"

JsonOption = Annotated[
    bool,
    options.OPTIONS.option(_JSON, "Print one JSON object instead of lines.", metavar=""),
]

ConfigOption = Annotated[
    Path | None,
    options.OPTIONS.option("--config FILE", "The configuration file of the end to check."),
]


def doctor(
    ctx: typer.Context,
    *,
    config: ConfigOption = None,
    role: RoleOption = None,
    json: JsonOption = False,
) -> int | None:
    """Find out why a tunnel does not work: check the network, this machine, files and servers.

    Examples:
      quictunnel doctor
      quictunnel doctor origin --remote vps.example.com --token-file token 8000
      quictunnel doctor remote --tls 443
      quictunnel doctor --config origin.toml

    Put "doctor" in front of the command that does not work. Each line begins with ✓ (it works),
    ! (it could be better), ✗ (it does not work) or - (it was not checked). If there is something to
    do, the next line says what. Without an end, only this machine is checked. Nothing is changed.
    The exit code is 1 if there is a ✗, otherwise 0.
    """
    from quictunnel.cli import doctor_run  # noqa: PLC0415 - the roles do without it

    ctx.meta[_JSON] = json
    if ctx.invoked_subcommand is not None:
        if Sources(ctx).is_on_command_line("--config"):
            raise typer.BadParameter(f"write --config behind {ctx.invoked_subcommand}")
        return None  # the command does the rest
    if config is None:
        return doctor_run.check_machine(as_json=json)
    try:
        name = role_of(ctx, config, role)
    except SettingsError as exc:
        return doctor_run.check_machine(str(exc), as_json=json)
    command = cast("TyperGroup", ctx.command).commands[name]
    with command.make_context(name, [config_argument(config)], parent=ctx) as context:
        return cast("int", command.invoke(context))


def doctor_command(role: RoleName, function: Callable[..., object]) -> Callable[..., int]:
    """Return the function of `quictunnel doctor ROLE`, which has the options of the role.

    :param function: that of the role's command.
    """

    def command(ctx: typer.Context, **values: Any) -> int:  # noqa: ANN401 - those of the role
        from quictunnel.cli import doctor_run  # noqa: PLC0415 - the roles do without it

        as_json = ctx.meta[_JSON] or values["json"]
        arguments = [word for word in ctx.meta[ARGUMENTS] if word != _JSON]
        return doctor_run.check_role(ctx, role, arguments, values, as_json=as_json)

    changed: Any = command  # a function has more attributes than its type says
    hints = get_type_hints(function, include_extras=True)
    hints |= {"config": ConfigOption, "json": JsonOption, "return": int}
    parameters = dict(inspect.signature(function).parameters)
    if "remote" in hints:  # optional, because the machine can be checked without it
        hints["remote"] = Annotated[str | None, *hints["remote"].__metadata__]
        parameters["remote"] = parameters["remote"].replace(default=None)
    parameters["json"] = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False)
    changed.__annotations__ = hints
    changed.__signature__ = inspect.Signature(
        [each.replace(annotation=hints[name]) for name, each in parameters.items()]
    )
    changed.__doc__ = _DOCSTRINGS[role]
    return command


_DOCSTRINGS: dict[RoleName, str] = {
    "origin": """Check an origin's settings, its servers, and the path to the remote.

    Examples:
      quictunnel doctor origin --remote vps.example.com
      quictunnel doctor origin 8000 --remote vps.example.com --token-file token
      quictunnel doctor origin --config origin.toml

    It takes the options of 'quictunnel origin'. Without a token, the remote's UDP port is probed.
    With one, both ends prove that they know it. An origin that runs is not disturbed.
    """,
    "remote": """Check a remote's settings, its files, its ports, and Caddy in front of it.

    Examples:
      quictunnel doctor remote
      quictunnel doctor remote --tls 443 --cert fullchain.pem --key privkey.pem
      quictunnel doctor remote --config remote.toml

    It takes the options of 'quictunnel remote'. A remote that runs is not disturbed. Whether
    its UDP port can be reached is checked from an origin: quictunnel doctor origin.
    """,
}
