"""`quictunnel token`: make a token, or show the one that a remote keeps."""

from __future__ import annotations

import shlex
import socket
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.options import read
from quictunnel.cli.output import say
from quictunnel.config.addresses import EVERY_ADDRESS, HostPort, parse_target
from quictunnel.config.files import quoted
from quictunnel.config.settings import LINK_PORT, LISTEN
from quictunnel.config.state import default_state_dir, load_token
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError

# RFC 5737 and RFC 3849: addresses for documentation, which no machine has.
_NOWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

RemoteName = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="HOST[:PORT]",
        envvar="QUICTUNNEL_REMOTE",
        help="How origins reach this remote, for the command that is printed.",
        show_default="this machine's address",
    ),
]

app = typer.Typer()


@app.command()
def new() -> None:
    """Print a fresh token, to be given to a remote and an origin with --token or --token-file."""
    say(Token.new().reveal())


@app.command()
def show(*, remote: RemoteName = None, state_dir: options.StateDir = None) -> None:
    """Print the token that the remote on this machine made for itself, in a command for the origin.

    Whoever has the token can offer a server through this remote: show it to nobody else.
    """
    directory = state_dir or default_state_dir()
    token = load_token(directory)
    if token is None:
        raise SettingsError(
            f"no token is kept in {quoted(directory)}: 'quictunnel remote' makes one when it "
            "starts without --token"
        )
    target = read("--remote", _parse_remote, remote) if remote else guess_remote(LISTEN)
    say(f"token: {token.reveal()}")
    say(f"origin: {origin_command(target, token)}")


def origin_command(remote: HostPort, token: Token) -> str:
    """Return the command that leads to a web server on port 8000 beside the origin."""
    words = ["quictunnel", "origin", "--remote", str(remote), "--origin", "localhost:8000"]
    return shlex.join([*words, "--token", token.reveal()])


def guess_remote(listen: HostPort) -> HostPort:
    """Return where origins probably reach a remote that listens there.

    For every address: the one from which this machine would reach the internet. On a machine
    behind address translation that is only its own network's view.
    """
    if listen.host not in (EVERY_ADDRESS, "0.0.0.0"):
        return listen
    for family, nowhere in _NOWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((nowhere, 9))  # chooses a route and sends nothing
            except OSError:
                continue  # no way out over this family
            return HostPort(probe.getsockname()[0], listen.port)
    return HostPort(socket.gethostname(), listen.port)


def _parse_remote(text: str) -> HostPort:
    return parse_target(text, LINK_PORT)
