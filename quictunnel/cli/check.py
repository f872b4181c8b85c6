"""`quictunnel check`: validates a configuration file."""

from __future__ import annotations

from dataclasses import replace

import typer

from quictunnel.cli.output import print_line
from quictunnel.cli.preparation import File, RoleOption, config_argument, prepared, role_of
from quictunnel.cli.readable import counted
from quictunnel.cli.status_lines import unused_line, weak_line
from quictunnel.cli.token_check import check_tokens
from quictunnel.config.accepted_tokens import accept_tokens
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.settings import OriginSettings
from quictunnel.config.unused_policies import unused_policies
from quictunnel.escaping import escape
from quictunnel.events import PolicyUnused


def check(ctx: typer.Context, file: File, *, role: RoleOption = None) -> None:
    """Check a configuration file without starting anything.

    Examples:
      quictunnel check origin.toml
      quictunnel check --role remote /etc/quictunnel/settings.toml

    It reads the file as 'quictunnel remote --config FILE' or 'quictunnel origin --config FILE'
    does, with the files of tokens, certificates and networks that it names, and the tokens in a
    remote's state directory. It connects to nothing and creates no files. The exit code is 0 if the
    file is valid, otherwise 2.
    """
    with prepared(ctx, role_of(ctx, file, role), [config_argument(file)]) as (result, _):
        settings = result.settings
    line = f"{file}: ok"
    if isinstance(settings, OriginSettings):
        count = len(settings.services)
        line += f": {counted(count, 'service')}"
        tokens = [] if settings.token is None else [settings.token]
        warnings = [weak_line(event) for event in weak_secrets(tokens)]
    else:
        state, warnings = check_tokens(settings, file)
        grants = accept_tokens(settings, state).grants
        unused = unused_policies(replace(settings, grants=grants))
        warnings += [unused_line(PolicyUnused(*each)) for each in unused.items()]
    for warning in warnings:
        print_line(escape(warning))
    print_line(escape(line))
