"""DNS host names, and the patterns that stand for several of them.

A pattern is an exact name, `*.example.com` for the names below example.com, or `*` for every name.
Both roles, the settings and the bytes of clients have the same rules.
"""

from __future__ import annotations

import ipaddress
import re

MAX_NAME = 253
"""Characters of the longest host name, without a trailing dot (RFC 1035, section 3.1)."""

EVERY_HOST = "*"
"""The pattern that stands for every name, and for clients that name no host."""

_WILDCARD = "*."
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)


def normalise_host(text: str) -> str | None:
    """Return a host name in lower case and without its trailing dot; None if it is none.

    Labels in Unicode are converted to their ASCII form (RFC 3490). Decoders of bytes on the wire
    pass ASCII only. An IP address is no name, in whatever notation a resolver accepts it.
    """
    if len(text) > MAX_NAME + 1:
        return None
    try:
        name = text.encode("ascii" if text.isascii() else "idna").decode("ascii")
    except UnicodeError:
        return None
    name = name.removesuffix(".").lower()
    labels = name.split(".")
    # 192.0.2.256 and 0x7f.1 look like names, but resolvers treat them as addresses.
    if (
        len(name) > MAX_NAME
        or not all(_LABEL.fullmatch(label) for label in labels)
        or _NUMERIC_LABEL.fullmatch(labels[-1])
    ):
        return None
    return name


def is_ip_literal(text: str) -> bool:
    """Return whether a host is an IP address: IPv6 without brackets, or IPv4 in any notation.

    `127.1`, `0x7f000001` and `192.0.2.256` count: resolvers treat them as addresses. An address
    with a scope does not, because it has no meaning on another machine.
    """
    if ":" in text:
        try:
            return ipaddress.IPv6Address(text).scope_id is None
        except ValueError:
            return False
    labels = text.removesuffix(".").split(".", 4)
    return len(labels) <= 4 and all(_NUMERIC_LABEL.fullmatch(label) for label in labels)


def parse_pattern(text: str) -> str | None:
    """Return a pattern in its one spelling; None if it is none.

    `*.Example.COM.` becomes `*.example.com`. The asterisk stands for whole labels, and only in
    front of a name.
    """
    if text == EVERY_HOST:
        return text
    prefix = _WILDCARD if text.startswith(_WILDCARD) else ""
    name = normalise_host(text.removeprefix(prefix))
    if name is None or len(prefix + name) > MAX_NAME:
        return None
    return prefix + name


def is_pattern(text: str) -> bool:
    """Return whether a parsed pattern stands for several names: `*` or `*.example.com`."""
    return text == EVERY_HOST or text.startswith(_WILDCARD)


def covers(allowed: str, asked: str) -> bool:
    """Return whether one parsed pattern stands for every name that another one stands for.

    `*.example.com` covers `a.example.com`, `a.b.example.com`, `*.example.com` and
    `*.b.example.com`, but not `example.com`. `*` covers every pattern.
    """
    if allowed in (EVERY_HOST, asked):
        return True
    return allowed.startswith(_WILDCARD) and asked.endswith(allowed.removeprefix("*"))
