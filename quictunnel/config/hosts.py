"""Host names of services, as users write them: one, all below a domain, or every one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from quictunnel.config.host_names import EVERY_HOST, is_ip_literal, parse_pattern
from quictunnel.errors import SettingsError

HostName: TypeAlias = str
"""`www.example.com`, `*.example.com` or `*`, in the spelling of `parse_pattern`."""

HostProtocol: TypeAlias = Literal["tls", "http"]
"""The protocol that clients of a host name speak to the remote."""

HOST_PROTOCOLS: tuple[HostProtocol, ...] = ("tls", "http")

_EXAMPLES = "www.example.com, *.example.com or *"


def parse_host(text: str) -> HostName:
    """Parse a host name, the names below a domain (`*.example.com`), or every name (`*`).

    :raises SettingsError: it is anything else.
    """
    text = text.strip()
    host = parse_pattern(text)
    if host is not None:
        return host
    what = "is an IP address, not" if is_ip_literal(text.strip("[]")) else "is not"
    raise SettingsError(f"{text!r} {what} a host name; write {_EXAMPLES}")


def is_host(text: str) -> bool:
    """Return whether a text that may also be something else is meant as a host name.

    Names without a dot are not: they are rather the name of a service, or a typing error.
    """
    return "." in text or text.strip() == EVERY_HOST


def parse_host_protocol(text: str) -> HostProtocol:
    """Parse the protocol of clients of a host name.

    :raises SettingsError: it is not `tls` or `http`.
    """
    for protocol in HOST_PROTOCOLS:
        if text == protocol:
            return protocol
    raise SettingsError(f"{text!r} is not {' or '.join(HOST_PROTOCOLS)}")
