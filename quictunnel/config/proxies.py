"""Parses URLs of proxies, and finds the one that the environment names. It opens no sockets.

A proxy's password appears in no repr, no log and no error.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from quictunnel.config.addresses import HostPort, Network, is_this_machine, parse_target
from quictunnel.errors import SettingsError

ProxyScheme = Literal["http", "https", "socks5", "socks5h"]
"""Kinds of proxies: HTTP CONNECT (RFC 9110, section 9.3.6), the same over TLS, SOCKS version 5
(RFC 1928), and the same with names that the proxy resolves."""

PROXY_PORTS: Mapping[ProxyScheme, int] = {
    "http": 80,
    "https": 443,
    "socks5": 1080,
    "socks5h": 1080,
}
"""The port of a proxy's URL without one, by its scheme."""

NO_PROXY = "none"
"""The value of `--proxy` for a direct connection, whatever the environment says."""

VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The environment variables that name a proxy. The first one that is set and not empty counts."""

EXCEPTIONS = ("no_proxy", "NO_PROXY")
"""The environment variables that list servers without a proxy. The first one that is set counts."""

MAX_SOCKS_TEXT = 255
"""Bytes of the longest user name and of the longest password of SOCKS (RFC 1929)."""

_NO_URL = "this is not the URL of a proxy; write http://proxy.example.com:3128 or socks5h://localhost:1080"
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_SEPARATORS = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and how to log in to it."""

    scheme: ProxyScheme

    server: HostPort
    """The host and port to connect to."""

    user: str = field(default="", repr=False)
    """The user name; empty for none."""

    password: str = field(default="", repr=False)
    """The password; empty for none."""

    def __str__(self) -> str:
        """Return the URL without the user name and the password."""
        return f"{self.scheme}://{self.server}"


class EnvironmentProxy(NamedTuple):
    """A proxy that an environment variable names."""

    variable: str
    proxy: Proxy


def parse_proxy(text: str) -> Proxy:
    """Parse a proxy's URL, such as `http://user:password@proxy.example.com:3128`.

    `socks` means `socks5`, and a URL without a scheme means `http`. The user name and the password
    may be percent-encoded.

    :raises SettingsError: it is no such URL. The error does not quote it, because it may contain a
        password.
    """
    whole = text.strip()
    if "://" not in whole:
        whole = f"http://{whole}"
    try:
        url = urlsplit(whole) if _VISIBLE.fullmatch(whole) else None
    except ValueError:
        url = None
    if url is None or not url.netloc:
        raise SettingsError(_NO_URL)
    scheme = "socks5" if url.scheme == "socks" else url.scheme
    if scheme not in PROXY_PORTS:
        raise SettingsError(
            f"a proxy's URL begins with {', '.join(f'{each}://' for each in PROXY_PORTS)}, not "
            f"with {url.scheme}://"
        )
    if url.path not in ("", "/") or url.query or url.fragment:
        raise SettingsError(
            "a proxy's URL ends after the port; a '/', '?', '#' or '@' in a password is written "
            "%2F, %3F, %23 or %40"
        )
    kind = cast("ProxyScheme", scheme)
    login, at_sign, place = url.netloc.rpartition("@")
    try:
        server = parse_target(place, PROXY_PORTS[kind])
    except SettingsError as exc:
        # Without the '@', what seems to be a port may be a password.
        raise SettingsError(str(exc) if at_sign else _NO_URL) from None
    user, _, password = login.partition(":")
    proxy = Proxy(kind, server, _decoded(user), _decoded(password))
    _check_login(proxy)
    return proxy


def environment_proxy(environ: Mapping[str, str], server: HostPort) -> EnvironmentProxy | None:
    """Return the proxy that the environment names for a server; None for a direct connection.

    A server on this machine has none.

    :raises SettingsError: the URL is malformed. The error names the variable.
    """
    if is_this_machine(server.host):
        return None
    variable = next((name for name in VARIABLES if environ.get(name, "").strip()), None)
    exceptions = next((environ[name] for name in EXCEPTIONS if name in environ), "")
    if variable is None or is_exception(exceptions, server):
        return None
    try:
        return EnvironmentProxy(variable, parse_proxy(environ[variable]))
    except SettingsError as exc:
        raise SettingsError(f"{variable}: {exc}") from exc


def is_exception(exceptions: str, server: HostPort) -> bool:
    """Return whether the value of NO_PROXY contains a server.

    Its items are separated by commas or spaces: `*` for every server, an address, a network, or a
    domain, which stands for itself and all names below it. A port may follow an address or a
    domain.
    """
    items = filter(None, _SEPARATORS.split(exceptions.lower()))
    return any(_matches(item, server) for item in items)


def _matches(item: str, server: HostPort) -> bool:
    if item == "*":
        return True
    address = _network(server.host)
    if address is not None and (network := _network(item)) is not None:
        return address.version == network.version and address.network_address in network
    host, port = _split_port(item)
    if port not in ("", str(server.port)):
        return False
    if address is not None:
        return _network(host) == address
    domain = host.removeprefix("*").strip(".")
    name = server.host.removesuffix(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _network(text: str) -> Network | None:
    """Return the network, or the network of one address, that a text is."""
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _split_port(item: str) -> tuple[str, str]:
    """Return a host without brackets, and the port behind it or an empty string."""
    if item.startswith("["):
        host, _, rest = item[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = item.partition(":")
    return (item, "") if ":" in port else (host, port)


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")


def _check_login(proxy: Proxy) -> None:
    """Check that the user name and the password can be sent.

    :raises SettingsError: they cannot. The error quotes neither.
    """
    texts = (proxy.user, proxy.password)
    if not all(text.isprintable() for text in texts):
        raise SettingsError(
            "the user name or the password has a control character, or is not UTF-8"
        )
    if proxy.password and not proxy.user:
        raise SettingsError("a password needs a user name before the ':'")
    if proxy.scheme in ("http", "https"):
        if ":" in proxy.user:
            raise SettingsError("the user name has a ':', which HTTP proxies do not allow")
    elif any(len(text.encode()) > MAX_SOCKS_TEXT for text in texts):
        raise SettingsError(
            f"SOCKS allows {MAX_SOCKS_TEXT} bytes for the user name and for the password"
        )
