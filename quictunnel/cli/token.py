"""`quictunnel token`: create a token, or show the one of the remote on this machine."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from typing import Annotated

from quictunnel.cli import options
from quictunnel.cli.options import read
from quictunnel.cli.output import print_line
from quictunnel.config.addresses import EVERY_ADDRESS, HostPort, parse_target
from quictunnel.config.files import quoted
from quictunnel.config.settings import LINK_PORT, LISTEN
from quictunnel.config.state import default_state_dir, load_token
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError

PLACEHOLDER = "YOUR-VPS"
"""Stands for the remote's public address in a printed command."""

# Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
_UNUSED = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

RemoteName = Annotated[
    str | None,
    options.OPTIONS.option(
        "--remote HOST[:PORT]",
        "Public address of this remote, for the printed command.",
        show_default="this machine's address, if it is public",
    ),
]


def new() -> None:
    """Create a token for a remote and an origin, and print it."""
    print_line(Token.new().reveal())


def show(*, remote: RemoteName = None, state_dir: options.StateDir = None) -> None:
    """Print the token of the remote on this machine, and the command for the origin.

    Examples:
      quictunnel token show
      quictunnel token show --remote vps.example.com --state-dir /var/lib/quictunnel

    Anyone with the token can publish a server through this remote. Keep it secret.
    """
    directory = state_dir or default_state_dir()
    token = load_token(directory)
    if token is None:
        raise SettingsError(
            f"there is no token in {quoted(directory)}; 'quictunnel remote' creates one when it "
            "starts without --token"
        )
    print_line(f"token: {token.reveal()}")
    if remote is None:
        print_origin_command("origin: ", LISTEN, token)
    else:
        print_line(f"origin: {origin_command(read('--remote', _parse_remote, remote), token)}")


def print_origin_command(prefix: str, listen: HostPort, token: Token) -> None:
    """Print the origin's command for a remote that listens there, and how to complete it."""
    own = own_host(listen.host)
    if own and not is_private(own):
        print_line(f"{prefix}{origin_command(HostPort(own, listen.port), token)}")
        return
    print_line(f"{prefix}{origin_command(HostPort(PLACEHOLDER, listen.port), token)}")
    why = f"; its own address, {own}, is private" if own else ""
    print_line(f"Replace {PLACEHOLDER} with the public address or name of this machine{why}.")


def origin_command(remote: HostPort, token: Token) -> str:
    """Return the command that exposes a web server on port 8000 of the origin's machine."""
    words = ["quictunnel", "origin", "--remote", str(remote), "--origin", "localhost:8000"]
    return shlex.join([*words, "--token", token.reveal()])


def own_host(host: str) -> str:
    """Return this machine's address, given the host on which a remote listens.

    If that is every address, it is the one from which packets to the internet leave, or nothing.
    """
    if host not in (EVERY_ADDRESS, "0.0.0.0"):
        return host
    for family, unused in _UNUSED:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((unused, 9))  # selects a route and sends nothing
            except OSError:
                continue  # no route with this family
            return str(probe.getsockname()[0])
    return ""


def is_private(host: str) -> bool:
    """Return whether a host is an address that the internet cannot reach, except loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # a name
    return not (address.is_global or address.is_loopback)


def _parse_remote(text: str) -> HostPort:
    return parse_target(text, LINK_PORT)
