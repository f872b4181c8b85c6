"""The programs at the two ends of a link, each ours or one in Go."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testkit.programs import READY_REMOTE, Program, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class ProgramPair:
    """The programs at the two ends of a link, and the folder of their files."""

    name: str
    remote: tuple[str, ...]
    origin: tuple[str, ...]
    scratch: Path

    @contextlib.contextmanager
    def running_remote(self, link: int = 0, outside: int = 0) -> Iterator[tuple[Program, int, int]]:
        """Run the remote; yield it, its port for origins and its port for clients."""
        command = [*self.remote, "--listen", f"127.0.0.1:{link}"]
        command += ["--outside", f"127.0.0.1:{outside}"]
        with running("remote", [*command, "--token-file", self.token()], self.scratch) as program:
            ports = re.fullmatch(READY_REMOTE, program.ready)
            assert ports is not None
            yield program, int(ports[1]), int(ports[2])

    def origin_command(
        self, link: int, server: str, label: str, token: str | None = None
    ) -> list[str]:
        """Return an origin's command line."""
        command = [*self.origin, "--remote", f"127.0.0.1:{link}", "--origin", server]
        return [*command, "--token-file", token or self.token(), "--name", label]

    def token(self, secret: str = "") -> str:
        """Return the file of the shared token, or of a token with another secret."""
        path = self.scratch / f"token-{secret[:8]}"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(f"interop.{secret or secrets.token_urlsafe(32)}\n")
        return str(path)
