"""The program `quictunnel`: its commands and exit codes.

0   success, also after Ctrl-C, SIGTERM or SIGHUP
1   failure
2   an invalid option or file, or an address in use
3   the remote refuses this origin, or this origin does not accept the remote; for commands about a
    running role, none runs or it does not answer
"""

from __future__ import annotations

import inspect
import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from quictunnel import __version__
from quictunnel.cli import (
    caddy,
    cert,
    check,
    clients,
    completion,
    config_option,
    config_show,
    demo,
    doctor,
    events,
    origin,
    probe,
    remote,
    service,
    status,
    token_list,
    token_new,
    token_revoke,
    token_show,
    top,
)
from quictunnel.cli.output import discard_output, open_missing_streams, print_error, print_line
from quictunnel.cli.prepared import PreparedRole
from quictunnel.cli.readable import counted
from quictunnel.cli.reload import ARGUMENTS
from quictunnel.cli.role_runner import REOPEN_SIGNAL, SIGNALS
from quictunnel.config.files import why
from quictunnel.errors import QuictunnelError, Refused, RoleUnavailable, SettingsError
from quictunnel.escaping import escape
from quictunnel.quic.engines.selection import EngineKind, installed

_log = logging.getLogger("quictunnel.cli")

PROGRAM = "quictunnel"

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3

ROLES = "The two ends"
WATCHING = "What runs now"
HELPERS = "Other commands"


class _Command(TyperCommand):
    """A command whose help shows `--help` without `<bool>`, and which can be prepared again.

    Its errors do not repeat extra arguments. A shell splits a value without quotes, so one of them
    may be a token.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,  # noqa: ANN401 - a private type
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return the context of a run of the command, which knows the arguments."""
        arguments = tuple(args)  # the list is emptied
        ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[ARGUMENTS] = arguments
        return ctx

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a private type
        """Parse the arguments; return those that the command does not have, which are none."""
        ctx.allow_extra_args = True
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            count = counted(len(extra), "argument")
            ctx.fail(f"{count} too many; a value with spaces needs quotes")
        return extra

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - a private type
        return _without_metavar(super().get_help_option(ctx))


class _Group(TyperGroup):
    """A group of commands whose help shows `--help` without `<bool>`."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - a private type
        return _without_metavar(super().get_help_option(ctx))


def _without_metavar(option: TyperOption | None) -> TyperOption | None:
    if option is not None:
        option.metavar = ""
    return option


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    cls=_Group,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"{PROGRAM} {__version__}")
        for line in _engines():
            print_line(line)
        raise typer.Exit


def _engines() -> Iterator[str]:
    """Yield a line for each engine: its version, or why it does not work."""
    taken = False
    for name, found in installed().items():
        if isinstance(found, EngineKind):
            yield f"engine {name}: {found.version}{'' if taken else ', used by default'}"
            taken = True
        else:
            yield escape(str(found))


def _help(command: Callable[..., object]) -> str:
    """Return a command's docstring with each paragraph on one line, which the terminal wraps.

    Paragraphs with indented lines are examples and stay as they are.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(
        paragraph if "\n  " in paragraph else " ".join(paragraph.split())
        for paragraph in paragraphs
    )


def quictunnel(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            metavar="",
            is_eager=True,
            callback=_print_version,
            help="Print the version and the installed engines.",
        ),
    ] = False,
) -> None:
    """Expose a TCP server on your own machine to the internet.

    Examples:
      quictunnel demo                                   # try it on this machine
      quictunnel remote                                 # on a public server
      quictunnel origin 8000 --remote vps.example.com   # next to your server

    The remote runs on a machine that the internet can reach. The origin runs next to your server,
    behind any router. The origin connects to the remote, and the remote forwards every client to
    your server through that one encrypted connection.
    """


def show_help(
    command: Annotated[list[str] | None, typer.Argument(help="The command.")] = None,
) -> int:
    """Show the help of a command."""
    return invoke([*(command or ()), "--help"])


def _add(
    parent: typer.Typer, name: str, function: Callable[..., object], panel: str | None = None
) -> None:
    parent.command(name, cls=_Command, help=_help(function), rich_help_panel=panel)(function)


app.callback(help=_help(quictunnel))(quictunnel)
_add(app, "remote", remote.remote, ROLES)
_add(app, "origin", origin.origin, ROLES)
_add(app, "demo", demo.demo, HELPERS)
_doctor = typer.Typer(cls=_Group, invoke_without_command=True)
_doctor.callback(help=_help(doctor.doctor))(doctor.doctor)
_add(_doctor, "origin", doctor.doctor_command("origin", origin.origin))
_add(_doctor, "remote", doctor.doctor_command("remote", remote.remote))
app.add_typer(_doctor, name="doctor", rich_help_panel=HELPERS)
_add(app, "status", status.status, WATCHING)
_add(app, "top", top.top, WATCHING)
_add(app, "clients", clients.clients, WATCHING)
_add(app, "events", events.events, WATCHING)
_add(app, "probe", probe.probe, WATCHING)
_add(app, "check", check.check, HELPERS)
_add(app, "caddy", caddy.caddy, HELPERS)
_add(app, "cert", cert.cert, HELPERS)
_add(app, "completion", completion.completion, HELPERS)
_add(app, "help", show_help, HELPERS)
_config = typer.Typer(help="Show the configuration in force.", cls=_Group)
_add(_config, "show", config_show.show)
app.add_typer(_config, name="config", rich_help_panel=HELPERS)
_services = typer.Typer(
    help="Run a role as a service of systemd, launchd or OpenRC, from the boot on.", cls=_Group
)
_add(_services, "install", service.install)
_add(_services, "uninstall", service.uninstall)
_add(_services, "status", service.status)
app.add_typer(_services, name="service", rich_help_panel=HELPERS)
_tokens = typer.Typer(help="Create, list, show and revoke tokens of the remote.", cls=_Group)
_add(_tokens, "new", token_new.new)
_add(_tokens, "list", token_list.list_tokens)
_add(_tokens, "show", token_show.show)
_add(_tokens, "revoke", token_revoke.revoke)
app.add_typer(_tokens, name="token", rich_help_panel=HELPERS)


def main() -> None:
    """Run the program with the process's arguments, and exit."""
    open_missing_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of the terminal may lack characters of a path.
        sys.stdout.reconfigure(errors="backslashreplace")
    # logrotate may send it to a role that is starting or ending.
    signal.signal(REOPEN_SIGNAL, signal.SIG_IGN)
    completion.prepare()
    code = invoke(sys.argv[1:])
    for number in SIGNALS:
        # Only the interpreter's exit remains. A late Ctrl-C must not change the exit code.
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code. Print a failure as one sentence."""
    try:
        result = app(args=[*arguments] or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        if isinstance(result, PreparedRole):
            result.run()
    except typer.TyperException as exc:
        return _report_usage_error(exc)
    except QuictunnelError as exc:
        print_error(PROGRAM, str(exc))
        return _exit_code(exc)
    except OSError as exc:
        return _report_system_error(exc)
    return result if isinstance(result, int) else 0


def _exit_code(exc: QuictunnelError) -> int:
    if isinstance(exc, SettingsError):
        return EXIT_USAGE
    return EXIT_REFUSED if isinstance(exc, Refused | RoleUnavailable) else EXIT_FAILED


def _report_system_error(exc: OSError) -> int:
    """Report that the system lacks something, such as descriptors or space for the output."""
    _log.debug("system call failed", exc_info=exc)
    discard_output()
    print_error(PROGRAM, why(exc))
    return EXIT_FAILED


def _report_usage_error(exc: typer.TyperException) -> int:
    """Report an invalid command or option, and which help describes the valid ones."""
    context = getattr(exc, "ctx", None)  # only usage errors have one
    program = PROGRAM if context is None else context.command_path
    sentence = config_option.describe(exc) or exc.format_message()
    sentence = sentence.removesuffix(".").replace("Value error, ", "")
    print_error(program, f"{sentence} (see '{program} --help')")
    return EXIT_USAGE
