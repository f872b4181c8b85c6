"""Addresses as a user writes them. Reads text only: resolves no name, opens no socket."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from quictunnel.errors import SettingsError

EVERY_ADDRESS = "::"
"""The host that stands for all of a machine's addresses, IPv6 and IPv4."""

MAX_UNIX_PATH = 103
"""Bytes in the path of a Unix socket: sun_path of macOS holds 104 with its NUL, Linux 108."""

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port; whether it is listened on or connected to is the user's matter."""

    host: str
    """A name or an IP literal, an IPv6 one without its brackets."""

    port: int
    """0 to 65535; 0 only where something listens: a free port is chosen then."""

    def __str__(self) -> str:
        """Return the text as a user writes it: an IPv6 host stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixPath:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        """Return the text as a user writes it."""
        return f"unix:{self.path}"


def parse_listen(text: str) -> HostPort:
    """Return where to listen: `[::]:9001`, `127.0.0.1:9001`, `:9001` or `9001`.

    Without a host every address of the machine is meant. Port 0 lets the system choose.

    :raises SettingsError: for anything else.
    """
    text = text.strip()
    host, port = _split(text) if ":" in text or not text.isdecimal() else ("", text)
    if port is None:
        raise SettingsError(f"{text!r} names no port; write HOST:PORT, for example [::]:9001")
    return HostPort(_host(host) if host else EVERY_ADDRESS, _port(port))


def parse_target(text: str, default_port: int | None = None) -> HostPort:
    """Return what to connect to: `example.com:9001`, `192.0.2.1:9001`, `[2001:db8::1]:9001`.

    :param default_port: the port where the text names none; None: it must name one.
    :raises SettingsError: for anything else, and for port 0.
    """
    text = text.strip()
    host, port = _split(text)
    if not host:
        raise SettingsError(f"{text!r} names no host; write HOST:PORT, for example example.com:80")
    host = _host(host)
    if port is not None:
        return HostPort(host, _port(port, lowest=1))
    if default_port is None:
        raise SettingsError(f"{text!r} names no port; write HOST:PORT, for example {host}:8000")
    return HostPort(host, default_port)


def parse_origin(text: str) -> HostPort | UnixPath:
    """Return an origin server's address: as a target, or `8000` (localhost), or `unix:/path`.

    :raises SettingsError: for anything else.
    """
    text = text.strip()
    if text.startswith("unix:"):
        return _unix_path(text.removeprefix("unix:"), text)
    if _PORT.fullmatch(text.removeprefix(":")):
        return HostPort("localhost", _port(text.removeprefix(":"), lowest=1))
    return parse_target(text)


def parse_network(text: str) -> Network:
    """Return a network in CIDR notation, `10.0.0.0/8` or `2001:db8::/32`; an address is one too.

    :raises SettingsError: for anything else, and where bits are set beyond the mask.
    """
    text = text.strip()
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass  # the sentence below depends on what a looser reading makes of it
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a network; write an address and its mask, for example 10.0.0.0/8"
        ) from None
    raise SettingsError(f"{text!r} has bits set beyond its mask; for the whole network: {meant}")


def _split(text: str) -> tuple[str, str | None]:
    """Part host and port; the host comes without brackets, the port is None where none stands."""
    if "://" in text:
        raise SettingsError(f"{text!r} is a URL; write only its host and port, HOST:PORT")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise SettingsError(f"{text!r} is not an IPv6 address in brackets and a port")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        raise SettingsError(
            f"{text!r} is not HOST:PORT; an IPv6 address stands in brackets: [2001:db8::1]:9001"
        )
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _host(host: str) -> str:
    """Check a host: an IP literal in its canonical text, or a name in lower case."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # then it must be a name
    try:
        name = host.encode("ascii" if host.isascii() else "idna").decode("ascii")
    except UnicodeError:
        raise SettingsError(f"{host!r} is not a host name") from None
    labels = name.removesuffix(".").split(".")
    # 192.0.2.256 and 0x7f.1 look like names, but resolvers take them for addresses.
    if (
        len(name) > 253
        or not all(_LABEL.fullmatch(label) for label in labels)
        or _NUMERIC_LABEL.fullmatch(labels[-1])
    ):
        raise SettingsError(f"{host!r} is neither a host name nor an IP address")
    return name.lower()


def _port(port: str, lowest: int = 0) -> int:
    """Check a port's digits and range."""
    if not _PORT.fullmatch(port) or not lowest <= int(port) <= 65535:
        raise SettingsError(f"{port!r} is not a port from {lowest} to 65535")
    return int(port)


def _unix_path(path: str, text: str) -> UnixPath:
    """Check the path of a Unix socket; whether something is there shows when it is dialled."""
    if not path:
        raise SettingsError(f"{text!r} names no path; write unix:PATH, for example unix:/run/web")
    if len(path.encode(errors="surrogateescape")) > MAX_UNIX_PATH or "\0" in path:
        raise SettingsError(
            f"{text!r}: the path of a Unix socket has at most {MAX_UNIX_PATH} bytes"
        )
    return UnixPath(path)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
