"""Chooses the service manager of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping

from quictunnel.cli.services import systemd
from quictunnel.cli.services.definition import Scope
from quictunnel.cli.services.launchd import Launchd
from quictunnel.cli.services.manager import Manager, ManagerName
from quictunnel.cli.services.openrc import OpenRc
from quictunnel.errors import SettingsError

MANAGERS: Mapping[ManagerName, Callable[[Scope], Manager]] = {
    "systemd": systemd.Systemd,
    "launchd": Launchd,
    "openrc": OpenRc,
}


def default_scope() -> Scope:
    """Return `system` for root, otherwise `user`."""
    return "system" if os.geteuid() == 0 else "user"


def manager_of_this_machine() -> ManagerName:
    """Return the service manager that runs here.

    :raises SettingsError: none of those that are known does.
    """
    if systemd.BOOTED.is_dir():
        return "systemd"
    if sys.platform == "darwin":
        return "launchd"
    if shutil.which("rc-service") is not None:
        return "openrc"
    raise SettingsError(
        "neither systemd, launchd nor OpenRC runs here; --print --manager systemd shows what would "
        "be written for one of them"
    )
