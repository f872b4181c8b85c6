"""The command that a remote gives to its user: it starts an origin with one of its tokens."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass

from quictunnel.cli.options import read
from quictunnel.cli.output import print_line
from quictunnel.config.addresses import EVERY_ADDRESS, HostPort, parse_listen, parse_target
from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.settings import LINK_PORT
from quictunnel.config.tokens import Token

PLACEHOLDER = "YOUR-VPS"
"""Stands for the remote's public address in a printed command."""

SERVER = "localhost:8000"
"""The origin server in a printed command."""

# Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
_UNUSED = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """Where origins reach a remote."""

    listen: HostPort
    """The address that the remote listens on."""

    public: HostPort | None
    """Its public address; None to look it up."""

    @classmethod
    def parse(cls, listen: str, remote: str | None, name: Callable[[str], str]) -> RemotePlace:
        """Return the place for the options `--listen` and `--remote`.

        :param name: returns an option's name for errors.
        :raises OptionError: one of the two is invalid.
        """
        listen_at = read(name("--listen"), parse_listen, listen)
        if remote is None:
            return cls(listen_at, None)
        port = listen_at.port or LINK_PORT
        return cls(listen_at, read(name("--remote"), lambda text: parse_target(text, port), remote))

    def print_token(self, token: Token, grant: Grant) -> None:
        """Print a token, and the command for an origin with it."""
        print_line(f"token: {token.reveal()}")
        if self.public is None:
            print_origin_command("origin: ", self.listen, token, grant)
        else:
            print_line(f"origin: {origin_command(self.public, token, grant)}")


def print_origin_command(
    prefix: str, listen: HostPort, token: Token, grant: Grant = DEFAULT_GRANT
) -> None:
    """Print the origin's command for a remote that listens there, and how to complete it."""
    own = own_host(listen.host)
    port = listen.port or LINK_PORT  # for port 0, the system has chosen another one
    if own and not is_private(own):
        print_line(f"{prefix}{origin_command(HostPort(own, port), token, grant)}")
        return
    print_line(f"{prefix}{origin_command(HostPort(PLACEHOLDER, port), token, grant)}")
    why = f"; its own address, {own}, is private" if own else ""
    print_line(f"Replace {PLACEHOLDER} with the public address or name of this machine{why}.")


def origin_command(remote: HostPort, token: Token, grant: Grant = DEFAULT_GRANT) -> str:
    """Return the command that exposes a web server on port 8000 of the origin's machine.

    The token is in the environment, because the process list shows options to all users.
    """
    words = ["quictunnel", "origin", "--remote", str(remote), "--origin", _service(grant)]
    return f"QUICTUNNEL_TOKEN={token.reveal()} {shlex.join(words)}"


def _service(grant: Grant) -> str:
    """Return a service that the token may have: at its first port or host name, if it has some."""
    if grant.ports:
        return f"{grant.ports[0].first}={SERVER}"
    if grant.hosts:
        return f"{grant.hosts[0]}={SERVER}"
    return SERVER if grant.outside else f"auto={SERVER}"


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
