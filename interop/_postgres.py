"""PostgreSQL's server with a database of its own, and its clients."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from interop._commands import as_user, output_of
from interop._facts import program
from interop._waiting import wait, wait_until_listening
from testkit.namespaces import THIS_HOST
from testkit.programs import MissingError, Program, ProgramError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.namespaces import ProgramHost

DEBIAN = "/usr/lib/postgresql"
"""The folder of the server's programs in Debian, which is not in PATH."""

USER, DATABASE = "interop", "postgres"


@contextlib.contextmanager
def postgres(
    scratch: Path, host: ProgramHost = THIS_HOST, port: int | None = None
) -> Iterator[int]:
    """Run a server with its own database, as an unprivileged user; yield its port.

    :param host: where it runs.
    :param port: its port; None for a free one.
    :raises MissingError: PostgreSQL is not installed.
    """
    initdb, server = _servers_program("initdb"), _servers_program("postgres")
    folder = scratch / "postgres"
    folder.mkdir()
    scratch.chmod(0o755)
    rights = as_user("postgres", folder)
    data = folder / "data"
    output_of([*rights, initdb, "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8"])
    port = port or free_port()
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    command = [*rights, server, "-D", str(data), "-p", str(port)]
    for setting in settings:
        command += ["-c", setting]
    with Program("postgres", host.command(*command), scratch) as program:
        wait_until_listening(program, port, host)
        wait(lambda: _answers(port, host), "PostgreSQL's first answer")
        yield port


def client_command(name: str, port: int, *words: str) -> list[str]:
    """Return the command of a client that connects to a port of 127.0.0.1."""
    return [program(name), "-h", "127.0.0.1", "-p", str(port), "-U", USER, *words, DATABASE]


def psql(port: int, *orders: str, host: ProgramHost = THIS_HOST) -> str:
    """Return the output of psql for these commands.

    :param host: where psql runs.
    """
    words = [word for order in orders for word in ("-c", order)]
    settings = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    return output_of(host.command(*client_command("psql", port, *settings, *words))).strip()


def _answers(port: int, host: ProgramHost) -> bool:
    with contextlib.suppress(ProgramError):  # it is starting up
        return psql(port, "SELECT 1", host=host) == "1"
    return False


def _servers_program(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path(DEBIAN).glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise MissingError(f"PostgreSQL's {name} is not installed")
    return str(versions[-1])
