"""The program `quictunnel`: its commands, and an exit code and a sentence for what ends them.

0   it ended in order; a drain after Ctrl-C, SIGTERM or SIGHUP is one
1   it failed
2   the user: a bad option, a file, an address in use
3   the remote refuses this origin, or this origin does not accept the remote
"""

from __future__ import annotations

import inspect
import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer

from quictunnel import __version__
from quictunnel.cli import cert, demo, origin, remote, token
from quictunnel.cli.output import complain, drop_output, open_missing_streams, say
from quictunnel.cli.role_runner import SIGNALS
from quictunnel.config.files import why
from quictunnel.errors import QuictunnelError, Refused, SettingsError
from quictunnel.observe.logging_setup import escape, fact
from quictunnel.quic import EngineKind, installed

_log = logging.getLogger("quictunnel.cli")

PROGRAM = "quictunnel"

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3

ROLES = "The two ends"
HELPERS = "To begin with, and now and then"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"{PROGRAM} {__version__}")
        for line in _engines():
            say(line)
        raise typer.Exit


def _engines() -> Iterator[str]:
    """A line for each engine: its version, or why it cannot be used; and what `auto` takes."""
    taken = False
    for name, found in installed().items():
        if isinstance(found, EngineKind):
            yield f"engine {name}: {found.version}{'' if taken else ', taken by auto'}"
            taken = True
        else:
            yield escape(str(found))


def _help(command: Callable[..., None]) -> str:
    """Return a command's docstring, each paragraph on a line: the terminal is to wrap them."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def quictunnel(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            is_eager=True,
            callback=_print_version,
            help="Print the version, and which engines are installed.",
        ),
    ] = False,
) -> None:
    """Put a TCP server that runs on your own machine on the internet.

    Two programs share the work. The remote runs on a machine that the internet can reach; the
    origin runs beside your server, behind whatever router. The origin calls the remote, and every
    client that comes to the remote is led through that one encrypted connection to your server.

    To see it all at once on this machine: quictunnel demo
    """


app.callback(help=_help(quictunnel))(quictunnel)
app.command("remote", help=_help(remote.remote), rich_help_panel=ROLES)(remote.remote)
app.command("origin", help=_help(origin.origin), rich_help_panel=ROLES)(origin.origin)
app.command("demo", help=_help(demo.demo), rich_help_panel=HELPERS)(demo.demo)
app.add_typer(
    token.app, name="token", rich_help_panel=HELPERS, help="Make a token, or show the remote's."
)
app.command("cert", help=_help(cert.cert), rich_help_panel=HELPERS)(cert.cert)


def main() -> None:
    """Run the program with the process's arguments, and exit."""
    open_missing_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path of the user's may hold what a terminal's encoding does not.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = invoke(sys.argv[1:])
    for number in SIGNALS:
        # What is left is the interpreter's own end. One more Ctrl-C is not to change how we ended.
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code, having said in one sentence what is wrong, if so."""
    try:
        code = app(args=[*arguments] or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as exc:
        return _complain_of_usage(exc)
    except QuictunnelError as exc:
        complain(PROGRAM, str(exc))
        return _exit_code(exc)
    except OSError as exc:
        return _complain_of_system(exc)
    return code if isinstance(code, int) else 0


def _exit_code(exc: QuictunnelError) -> int:
    if isinstance(exc, SettingsError):
        return EXIT_USAGE
    return EXIT_REFUSED if isinstance(exc, Refused) else EXIT_FAILED


def _complain_of_system(exc: OSError) -> int:
    """Say what the system has refused to the program itself: descriptors, or room for the help."""
    fact(_log, logging.DEBUG, "the system has refused something", exc_info=exc)
    drop_output()
    complain(PROGRAM, why(exc))
    return EXIT_FAILED


def _complain_of_usage(exc: typer.TyperException) -> int:
    """Say what is wrong with the options, and where the right ones are described."""
    context = getattr(exc, "ctx", None)  # the base class has none, those about usage have
    program = PROGRAM if context is None else context.command_path
    sentence = exc.format_message().removesuffix(".").replace("Value error, ", "")
    complain(program, f"{sentence} (see '{program} --help')")
    return EXIT_USAGE
