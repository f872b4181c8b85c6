"""Writes the systemd units of the repository: `python docs/units.py`.

They come from the code of `quictunnel service install`. The page about systemd shows them.
"""

from __future__ import annotations

import re
from pathlib import Path

from quictunnel.cli.services.definition import ServiceDefinition
from quictunnel.cli.services.systemd_units import socket_unit, unit

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "contrib" / "systemd"
PAGE = ROOT / "docs" / "how-to" / "systemd.md"

PROGRAM = "/opt/quictunnel/bin/quictunnel"
"""Where the page installs the program."""


def units(program: str, user: str | None = None) -> dict[str, str]:
    """Return the units of both roles, by file name.

    :param program: the absolute path of quictunnel.
    :param user: the user that both run as; None for a user that systemd makes for each.
    """
    remote = ServiceDefinition(
        role="remote",
        name="quictunnel-remote",
        scope="system",
        program=(program,),
        user=user,
        options=("--config", "/etc/quictunnel/remote.toml"),
        has_config=True,
    )
    origin = ServiceDefinition(
        role="origin",
        name="quictunnel-origin",
        scope="system",
        program=(program,),
        user=user,
        options=("--config", "/etc/quictunnel/origin.toml"),
        files={"token-file": Path("/etc/quictunnel/token")},
        has_config=True,
    )
    return {
        "quictunnel-remote.service": unit(remote, mark=""),
        "quictunnel-remote.socket": socket_unit(remote, link="9001", outside="9000"),
        "quictunnel-origin.service": unit(origin, mark=""),
    }


def show(page: str, name: str, text: str) -> str:
    """Return a page with a unit in the block that follows the first mention of its file."""
    before, found, after = page.partition(f"`/etc/systemd/system/{name}`")
    block = re.compile(r"```ini\n.*?```", re.DOTALL)
    return before + found + block.sub(lambda _: f"```ini\n{text}```", after, count=1)


def main() -> None:
    """Write the units, and the page."""
    page = PAGE.read_text("utf-8")
    for name, text in units(PROGRAM).items():
        (FOLDER / name).write_text(text, "utf-8")
        page = show(page, name, text)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
