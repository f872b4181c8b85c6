"""Proxies between an origin and the internet: Squid, tinyproxy, microsocks and mitmproxy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from interop._commands import as_user, output_of
from interop._facts import program
from interop._waiting import listening
from testkit.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testkit.programs import Program

LOGIN = ("laptop", "open-sesame")
"""The user name and password of each proxy that asks for them."""

SQUID = """
http_port 127.0.0.1:{port}
visible_hostname localhost
pid_filename {folder}/squid.pid
access_log none
cache_log {folder}/squid-cache.log
coredump_dir {folder}
cache deny all
pinger_enable off
shutdown_lifetime 0 seconds
{rules}
"""

OPEN_RULES = "http_access allow all"

LOGIN_RULES = """
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users
auth_param basic realm quictunnel
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 90
MaxClients 20
LogLevel Connect
{login}
"""

KEEP = """
from mitmproxy.net.http.http1.assemble import assemble_request_head

def keep_head(flow):
    with open({heads!r}, "ab") as kept:
        kept.write(assemble_request_head(flow.request))

http_connect = request = keep_head

def websocket_message(flow):
    content = flow.websocket.messages[-1].content
    with open({messages!r}, "ab") as kept:
        kept.write(len(content).to_bytes(4, "big") + content)
"""
"""An addon of mitmproxy that keeps what it sees: the heads of requests, and WebSocket messages."""


class ForwardProxy(NamedTuple):
    """A running proxy."""

    address: str
    """Its URL, without a login."""

    command: Sequence[str | Path]
    program: Program

    def with_login(self, password: str = LOGIN[1]) -> str:
        """Return its URL with the login, or with another password."""
        return self.address.replace("://", f"://{LOGIN[0]}:{password}@")


class Interceptor(NamedTuple):
    """A running proxy that ends TLS, and the files with what it has seen."""

    proxy: ForwardProxy
    heads: Path
    """The heads of all requests, CONNECT included."""
    messages: Path
    """The messages of WebSockets. Four bytes before each are its size."""


@contextlib.contextmanager
def running_squid(scratch: Path, *, login: bool) -> Iterator[ForwardProxy]:
    """Run Squid on loopback.

    :param login: whether it asks for `LOGIN`.
    """
    port, file = free_port(), scratch / "squid.conf"
    if login:
        hashed = output_of([program("openssl"), "passwd", "-apr1", LOGIN[1]]).strip()
        (scratch / "users").write_text(f"{LOGIN[0]}:{hashed}\n")
    rules = LOGIN_RULES.format(folder=scratch) if login else OPEN_RULES
    file.write_text(SQUID.format(port=port, folder=scratch, rules=rules))
    command: list[str | Path] = [*as_user("proxy", scratch), program("squid"), "-N", "-f", file]
    with _running("squid", command, scratch, port, "http") as proxy:
        yield proxy


@contextlib.contextmanager
def running_tinyproxy(scratch: Path, *, login: bool) -> Iterator[ForwardProxy]:
    """Run tinyproxy on loopback. See `running_squid`."""
    port, file = free_port(), scratch / "tinyproxy.conf"
    line = f"BasicAuth {' '.join(LOGIN)}" if login else ""
    file.write_text(TINYPROXY.format(port=port, login=line))
    command: list[str | Path] = [program("tinyproxy"), "-d", "-c", file]
    with _running("tinyproxy", command, scratch, port, "http") as proxy:
        yield proxy


@contextlib.contextmanager
def running_microsocks(scratch: Path, *, login: bool) -> Iterator[ForwardProxy]:
    """Run microsocks on loopback, which speaks SOCKS version 5. See `running_squid`."""
    port = free_port()
    command = [program("microsocks"), "-i", "127.0.0.1", "-p", str(port)]
    command += ["-u", LOGIN[0], "-P", LOGIN[1]] if login else []
    with _running("microsocks", command, scratch, port, "socks5") as proxy:
        yield proxy


@contextlib.contextmanager
def running_mitmproxy(scratch: Path) -> Iterator[Interceptor]:
    """Run mitmproxy on loopback, which ends TLS with certificates of its own."""
    port, addon = free_port(), scratch / "keep.py"
    heads, messages = scratch / "heads", scratch / "messages"
    addon.write_text(KEEP.format(heads=str(heads), messages=str(messages)))
    command = [program("mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    command += ["--set", f"confdir={scratch}", "--set", "ssl_insecure=true", "-s", str(addon)]
    with _running("mitmproxy", command, scratch, port, "http") as proxy:
        yield Interceptor(proxy, heads, messages)


PROXIES = {
    "Squid": running_squid,
    "tinyproxy": running_tinyproxy,
    "microsocks": running_microsocks,
}


@contextlib.contextmanager
def _running(
    name: str, command: Sequence[str | Path], scratch: Path, port: int, scheme: str
) -> Iterator[ForwardProxy]:
    with listening(name, command, scratch, port) as running:
        yield ForwardProxy(f"{scheme}://127.0.0.1:{port}", command, running)
