"""Parses addresses. It resolves no names and opens no sockets."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from quictunnel.config.host_names import normalise_host
from quictunnel.errors import SettingsError

EVERY_ADDRESS = "::"
"""The host that means every address of the machine, IPv6 and IPv4."""

ADMIN_PORT = 9002
"""The port of the admin interface in examples. It has no default."""

ASK_PATH = "/caddy/ask"
"""The path of the admin interface that Caddy's option `ask` names. Caddy adds `?domain=NAME`."""

LOOPBACK_ADDRESS = "127.0.0.1"
"""The usual address of this machine for itself."""

MAX_UNIX_PATH = 103
"""Bytes in a Unix socket's path. `sun_path` has 104 on macOS and 108 on Linux, with a NUL."""

MAX_URL_PATH = 255
"""Characters of a URL's path, at most."""

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)

_URL_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?|/", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port, to listen on or to connect to."""

    host: str
    """A name or an IP address without brackets."""

    port: int
    """0 to 65535. Port 0 is only for listening: the system then chooses a free port."""

    def __str__(self) -> str:
        """Return `host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixPath:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        """Return `unix:path`."""
        return f"unix:{self.path}"


def parse_listen(text: str) -> HostPort:
    """Parse an address to listen on: `[::]:9001`, `127.0.0.1:9001`, `:9001` or `9001`.

    No host means every address of the machine. Port 0 lets the system choose.

    :raises SettingsError: it is anything else.
    """
    text = text.strip()
    host, port = _split(text) if ":" in text or not text.isdecimal() else ("", text)
    if port is None:
        raise SettingsError(f"{text!r} has no port; write HOST:PORT, for example [::]:9001")
    return HostPort(_host(host) if host else EVERY_ADDRESS, _port(port))


def parse_admin(text: str, *, has_token: bool = False) -> HostPort:
    """Parse the address of the admin interface, as `parse_listen` does.

    `localhost` means 127.0.0.1, and so does no host.

    :param has_token: whether the interface has a token, so that other machines may reach it.
    :raises SettingsError: it is no address, or one that other machines can reach without a token.
    """
    listen = parse_listen(text)
    has_host = ":" in text.strip().removeprefix(":")
    if listen.host == "localhost" or not has_host:
        return HostPort(LOOPBACK_ADDRESS, listen.port)
    if not has_token:
        check_admin(listen)
    return listen


def check_admin(listen: HostPort) -> None:
    """Check the address of an admin interface without a token.

    :raises SettingsError: other machines can reach it.
    """
    if not is_loopback(listen.host):
        raise SettingsError(
            f"'{listen}' is not a loopback address, so the admin interface needs a token: give "
            f"--admin-token-file, or use {LOOPBACK_ADDRESS}:{ADMIN_PORT}"
        )


def is_loopback(host: str) -> bool:
    """Return whether a host is an IP address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Return whether a host is `localhost` or an IP address that only this machine can reach."""
    return host == "localhost" or is_loopback(host)


def parse_target(text: str, default_port: int | None = None) -> HostPort:
    """Parse an address to connect to, such as `example.com:9001` or `[2001:db8::1]:9001`.

    :param default_port: the port of an address without one; None if a port is required.
    :raises SettingsError: it is anything else, or the port is 0.
    """
    text = text.strip()
    host, port = _split(text)
    if not host:
        raise SettingsError(f"{text!r} has no host; write HOST:PORT, for example example.com:80")
    host = _host(host)
    if port is not None:
        return HostPort(host, _port(port, lowest=1))
    if default_port is None:
        raise SettingsError(f"{text!r} has no port; write HOST:PORT, for example {host}:8000")
    return HostPort(host, default_port)


def parse_origin(text: str) -> HostPort | UnixPath:
    """Parse an origin server's address: `HOST:PORT`, `8000` for localhost, or `unix:/path`.

    :raises SettingsError: it is anything else.
    """
    text = text.strip()
    if text.startswith("unix:"):
        return _unix_path(text.removeprefix("unix:"), text)
    if _PORT.fullmatch(text.removeprefix(":")):
        return HostPort("localhost", _port(text.removeprefix(":"), lowest=1))
    return parse_target(text)


def parse_url_path(text: str) -> str:
    """Parse the path of a URL of letters, digits and `-._~`, which need no escapes: `/quictunnel`.

    :raises SettingsError: it is anything else.
    """
    text = text.strip()
    if len(text) > MAX_URL_PATH or not _URL_PATH.fullmatch(text):
        raise SettingsError(
            f"{text[:MAX_URL_PATH]!r} is not a path; write a slash and then up to {MAX_URL_PATH} "
            "letters, digits, dashes, dots, underscores and slashes, for example /quictunnel"
        )
    return text


def parse_network(text: str) -> Network:
    """Parse a network, such as `10.0.0.0/8` or `2001:db8::/32`, or a single address.

    :raises SettingsError: it is anything else, or has bits set beyond its mask.
    """
    text = text.strip()
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass  # the error below depends on whether only the mask is wrong
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a network; write an address and its mask, for example 10.0.0.0/8"
        ) from None
    raise SettingsError(f"{text!r} has bits set beyond its mask; write {meant} for the network")


def _split(text: str) -> tuple[str, str | None]:
    """Split host and port. The host has no brackets, and the port is None if it is missing."""
    if "://" in text:
        raise SettingsError(f"{text!r} is a URL; write only HOST:PORT")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise SettingsError(f"{text!r} is not an IPv6 address in brackets and a port")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        raise SettingsError(
            f"{text!r} is not HOST:PORT; put an IPv6 address in brackets: [2001:db8::1]:9001"
        )
    host, colon, port = text.partition(":")
    return host, port if colon else None


@lru_cache(maxsize=64)  # services of one file lead to few hosts
def _host(host: str) -> str:
    """Check a host, and return an IP address in canonical form or a name in lower case."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # try it as a name
    name = normalise_host(host)
    if name is None:
        raise SettingsError(f"{host!r} is neither a host name nor an IP address")
    return f"{name}." if host.endswith(".") else name


def _port(port: str, lowest: int = 0) -> int:
    """Check a port's digits and range, and return it."""
    if not _PORT.fullmatch(port) or not lowest <= int(port) <= 65535:
        raise SettingsError(f"{port!r} is not a port from {lowest} to 65535")
    return int(port)


def _unix_path(path: str, text: str) -> UnixPath:
    """Check the path of a Unix socket, which need not exist yet."""
    if not path:
        raise SettingsError(f"{text!r} has no path; write unix:PATH, for example unix:/run/web")
    if len(path.encode(errors="surrogateescape")) > MAX_UNIX_PATH or "\0" in path:
        raise SettingsError(f"{text!r}: the path of a Unix socket may have {MAX_UNIX_PATH} bytes")
    return UnixPath(path)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
