"""`quictunnel service`: run a role as a service of systemd, launchd or OpenRC."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

import typer

from quictunnel.cli import options
from quictunnel.cli.output import print_line
from quictunnel.cli.services.definition import Scope
from quictunnel.cli.services.manager import Manager, ManagerName
from quictunnel.cli.services.role_options import define, service_name
from quictunnel.cli.services.selection import MANAGERS, default_scope, manager_of_this_machine
from quictunnel.cli.services.service_files import check_replaceable, remove, write
from quictunnel.errors import QuictunnelError, SettingsError
from quictunnel.escaping import escape
from quictunnel.snapshots import RoleName

SCOPES: tuple[Scope, ...] = ("system", "user")

Role = Annotated[
    RoleName, typer.Argument(metavar="remote|origin", help="The role.", show_default=False)
]

OptionalRole = Annotated[
    RoleName | None,
    typer.Argument(metavar="[remote|origin]", help="The role.", show_default=False),
]

RoleOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- OPTIONS",
        help="The options of the role, after two dashes.",
        show_default=False,
    ),
]

OfUser = Annotated[
    bool,
    options.OPTIONS.option(
        "--user",
        "A service of this user.",
        envvar="QUICTUNNEL_SERVICE_USER",
        metavar="",
    ),
]

OfSystem = Annotated[
    bool,
    options.OPTIONS.option(
        "--system",
        "A service of the machine, which needs root. This is the default for root.",
        envvar="QUICTUNNEL_SERVICE_SYSTEM",
        metavar="",
    ),
]

Name = Annotated[
    str | None,
    options.OPTIONS.option(
        "--name NAME",
        "Another name for the service, so that a machine can have several. Its name is then "
        "quictunnel-NAME.",
        envvar="QUICTUNNEL_SERVICE_NAME",
        show_default="the role",
    ),
]

Print = Annotated[
    bool,
    options.OPTIONS.option(
        "--print",
        "Print the files that would be written, and write nothing. Secrets are left out.",
        envvar="QUICTUNNEL_SERVICE_PRINT",
        metavar="",
    ),
]

ManagerOption = Annotated[
    ManagerName | None,
    options.OPTIONS.option(
        "--manager",
        "The service manager.",
        envvar="QUICTUNNEL_SERVICE_MANAGER",
        show_default="the one that runs here",
    ),
]


def install(
    ctx: typer.Context,
    role: Role,
    role_options: RoleOptions = None,
    *,
    user: OfUser = False,
    system: OfSystem = False,
    name: Name = None,
    manager: ManagerOption = None,
    only_print: Print = False,
) -> None:
    """Install a role as a service, and start it. Installing it again changes its options.

    Examples:
      sudo quictunnel service install remote -- --outside 443
      quictunnel service install origin -- 8000 --remote vps.example.com --token-file token
      quictunnel service install origin --name nas --print -- --config /etc/quictunnel/nas.toml

    The options are those of 'quictunnel remote' or 'quictunnel origin'. They are checked first.
    Options from the environment count as well. A token is kept in a file of its own that only its
    owner can read.
    """
    scope = _scope(user, system) or default_scope()
    chosen = manager or manager_of_this_machine()
    managing = MANAGERS[chosen](scope)
    if not only_print:
        managing.check_usable()
    service = define(ctx, role, name, scope, role_options or ())
    problems = managing.problems(service)
    if only_print:
        for problem in problems:
            print_line(escape(f"# problem: {problem}"))
        for file in managing.files(service):
            print_line(f"# {file.path}, mode {file.mode:03o}")
            text = file.content
            for token in chain.from_iterable(service.secrets.values()):
                text = text.replace(token, "(the token)")
            print_line(text)
        return
    if problems:
        raise SettingsError(problems[0])
    files = managing.files(service)
    for file in files:
        check_replaceable(file.path)
    # The definition is the last one, so that no service starts without its secrets.
    changed = [write(file) for file in reversed(files)]
    for file, is_new in zip(files, reversed(changed), strict=True):
        print_line(f"{'written' if is_new else 'unchanged'}: {file.path}")
    managing.start(service, has_changed=any(changed))
    print_line(escape(f"{service.name}: {managing.state(service.name).sentence}"))
    for hint in managing.hints(service):
        print_line(hint)


def uninstall(
    role: OptionalRole = None,
    *,
    user: OfUser = False,
    system: OfSystem = False,
    name: Name = None,
    manager: ManagerOption = None,
) -> None:
    """Stop a service and remove the files that 'quictunnel service install' has written.

    Examples:
      sudo quictunnel service uninstall remote
      quictunnel service uninstall --name nas

    Nothing else is removed: configuration files and the state of a remote stay.
    """
    found = list(_found(role, name, _scope(user, system), manager))
    if not found:
        raise SettingsError(_nothing(role, name))
    if len(found) > 1:
        names = ", ".join(f"{each} (--{scope})" for _, each, scope in found)
        raise SettingsError(f"several services are installed: {names}; say which one")
    managing, service, _ = found[0]
    managing.check_usable()
    managing.stop(service)
    for path in managing.paths(service):
        if remove(path):
            print_line(f"removed: {path}")
    managing.removed()


def status(
    role: OptionalRole = None,
    *,
    user: OfUser = False,
    system: OfSystem = False,
    name: Name = None,
    manager: ManagerOption = None,
) -> int:
    """Print what the service manager says about the services that were installed.

    Examples:
      quictunnel service status
      quictunnel service status origin --user

    The exit code is 0 if all of them run, otherwise 1.
    """
    found = list(_found(role, name, _scope(user, system), manager))
    if not found:
        raise QuictunnelError(_nothing(role, name))
    all_run = True
    for managing, service, scope in found:
        state = managing.state(service)
        all_run = all_run and state.is_running
        print_line(escape(f"{service} ({scope}): {state.sentence}"))
    return 0 if all_run else 1


def _scope(user: bool, system: bool) -> Scope | None:
    """Return the scope that the options name, or None if they name none.

    :raises SettingsError: they name both.
    """
    if user and system:
        raise SettingsError("--user and --system are both given; a service is one of the two")
    return "user" if user else "system" if system else None


def _found(
    role: RoleName | None, name: str | None, scope: Scope | None, manager: ManagerName | None
) -> Iterator[tuple[Manager, str, Literal["user", "system"]]]:
    """Yield the installed services that the options mean, with their managers and scopes."""
    wanted = None if role is None and name is None else service_name(role or "remote", name)
    chosen = manager or manager_of_this_machine()
    for each in SCOPES if scope is None else (scope,):
        managing = MANAGERS[chosen](each)
        for service in managing.installed():
            if wanted in (None, service):
                yield managing, service, each


def _nothing(role: RoleName | None, name: str | None) -> str:
    which = "no service" if role is None and name is None else "no such service"
    return f"{which} was installed with 'quictunnel service install'"
