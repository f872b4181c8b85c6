"""Options of the commands about tokens. They are for the remote on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from quictunnel.cli import options
from quictunnel.config.settings import LISTEN

LISTEN_DEFAULT = str(LISTEN)

OTHER_USER = (
    "if the remote runs as another user, run this command as that user or give its --state-dir"
)
"""The advice for a state directory that may not be the remote's."""

Listen = Annotated[
    str,
    options.OPTIONS.option(
        "--listen HOST:PORT",
        "The remote's --listen. The printed command has its port.",
    ),
]

RemoteName = Annotated[
    str | None,
    options.OPTIONS.option(
        "--remote HOST[:PORT]",
        "Public address of this remote, for the printed command.",
        show_default="this machine's address, if it is public",
    ),
]

StateDir = Annotated[
    Path | None,
    options.OPTIONS.option(
        "--state-dir DIR",
        "The remote's state directory.",
        show_default="the user's state directory, on Linux ~/.local/state/quictunnel",
    ),
]
