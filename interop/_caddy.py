"""Caddy in front of a remote: find or build it, and run a Caddyfile of docs/ with its own CA.

Debian 12 has Caddy 2.6, which does not send the PROXY protocol. `quictunnel caddy` prints a
Caddyfile for 2.11. If no such Caddy is installed, Go builds one into the user's cache.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from interop._go import go
from interop._waiting import listening, wait
from testkit.programs import MissingError, ProgramError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.programs import Program

DOCS = Path(__file__).parents[1] / "docs" / "how-to"

LEAST = (2, 11)
"""The oldest version that is used."""

VERSION = "v2.11.9"
"""The version to build."""

BUILD_WITHIN = 1200
"""Seconds to build it. Two to three minutes are usual."""

GLOBAL = """{{
	admin off
	{redirects}
	default_bind 127.0.0.1 ::1
	https_port {port}
	skip_install_trust
	local_certs
	storage file_system {folder}/caddy
{more}
}}

"""
"""Global options in front of a Caddyfile of docs/: other ports, and certificates of its own CA."""


@dataclass(frozen=True)
class Caddy:
    """A running Caddy."""

    port: int
    """The port for TLS over TCP and QUIC, on 127.0.0.1 and ::1."""
    folder: Path
    program: Program

    @property
    def authority(self) -> Path:
        """The root certificate of its CA, in PEM."""
        return self.folder / "pki/authorities/local/root.crt"

    @property
    def issuer(self) -> Path:
        """The intermediate certificate that signs those of sites, in PEM."""
        return self.folder / "pki/authorities/local/intermediate.crt"

    def trust(self) -> ssl.SSLContext:
        """Return a client's SSL context that trusts its CA."""
        return ssl.create_default_context(cafile=str(self.authority))


@contextlib.contextmanager
def caddy(
    sites: str,
    scratch: Path,
    *names: str,
    options: str = "",
    http_port: int | None = None,
) -> Iterator[Caddy]:
    """Run Caddy with its own CA, on loopback.

    :param sites: the sites of a Caddyfile.
    :param names: the names whose certificates to wait for.
    :param options: more lines of global options.
    :param http_port: the port whose requests are redirected to HTTPS; None for no such port.
    :raises MissingError: it is not installed, and there is no Go to build it.
    :raises ProgramError: it rejects the Caddyfile.
    """
    command = find()
    port = free_port()
    folder = scratch / "caddy"
    file = scratch / "Caddyfile"
    redirects = f"http_port {http_port}" if http_port else "auto_https disable_redirects"
    text = GLOBAL.format(port=port, folder=scratch, more=options, redirects=redirects)
    file.write_text(text + sites)
    environment = {"HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch / "config")}
    run: list[str | Path] = [command, "run", "--config", file, "--adapter", "caddyfile"]
    with listening("caddy", run, scratch, port, **environment) as program:
        here = Caddy(port, folder, program)
        wait(here.authority.exists, "Caddy's own CA")
        for name in names:
            wait(functools.partial(_greets, here, name), f"Caddy's certificate for {name}")
        yield here


def example(name: str, outside: int) -> str:
    """Return the Caddyfile of docs/, for another name and another port of the remote.

    :raises ProgramError: the Caddyfile lacks the lines to replace.
    """
    text = (DOCS / "Caddyfile").read_text()
    for there, here in (
        ("\nwww.example.com {", f"\n{name} {{"),
        ("127.0.0.1:9000 {", f"127.0.0.1:{outside} {{"),
    ):
        if text.count(there) != 1:
            raise ProgramError(f"docs/how-to/Caddyfile should say {there.strip()!r} once")
        text = text.replace(there, here)
    return text


def split(text: str) -> tuple[str, str]:
    """Split a Caddyfile into its global options and its sites. Comments in front are dropped."""
    _, _, text = text.partition("{\n")
    options, _, sites = text.partition("\n}\n")
    return options, sites


def find() -> str:
    """Return the path of a Caddy that is new enough; build it if necessary.

    :raises MissingError: it is not installed, and there is no Go to build it.
    """
    built = user_cache_path("quictunnel-interop") / f"caddy-{VERSION}" / "caddy"
    installed = shutil.which("caddy")
    if installed and _is_new_enough(installed):
        return installed
    if built.exists():
        return str(built)
    try:
        compiler = go()
    except MissingError as exc:
        least = ".".join(map(str, LEAST))
        raise MissingError(f"Caddy {least} is not installed, and to build it {exc}") from None
    print(f"building Caddy {VERSION} into {built.parent}, which takes some minutes", flush=True)
    package = f"github.com/caddyserver/caddy/v2/cmd/caddy@{VERSION}"
    done = subprocess.run(
        [compiler, "install", package],
        env=os.environ | {"GOBIN": str(built.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_WITHIN,
        check=False,
    )
    if done.returncode:
        raise ProgramError(f"go install {package}: {done.stdout[-1500:].strip()}")
    return str(built)


def _is_new_enough(command: str) -> bool:
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= LEAST


def _greets(here: Caddy, name: str) -> bool:
    """Return whether it has a certificate for a name."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", here.port)) as plain,
        here.trust().wrap_socket(plain, server_hostname=name),
    ):
        return True
    return False
