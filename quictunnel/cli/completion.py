"""`quictunnel completion`: prints the script with which a shell completes commands and options."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer
from typer.completion import completion_init, get_completion_script

from quictunnel.cli.output import print_line

PROGRAM = "quictunnel"

VARIABLE = "_QUICTUNNEL_COMPLETE"
"""The environment variable with which the scripts ask this program for completions."""

Shell = Annotated[
    Literal["bash", "zsh", "fish"],
    typer.Argument(metavar="bash|zsh|fish", help="The shell.", show_default=False),
]


def completion(shell: Shell) -> None:
    """Print a script for completion in a shell.

    Examples:
      quictunnel completion bash >~/.local/share/bash-completion/completions/quictunnel
      quictunnel completion zsh >~/.zfunc/_quictunnel
      quictunnel completion fish >~/.config/fish/completions/quictunnel.fish

    The Debian package has these files already.
    """
    print_line(script(shell))


def script(shell: str) -> str:
    """Return the script for a shell."""
    return get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)


def prepare() -> None:
    """Let typer answer if a script asks for completions."""
    if VARIABLE in os.environ:
        completion_init()
