"""One tab of a headless Chromium, controlled over a pipe by the DevTools protocol.

Commands wait for their answers. Events that arrive meanwhile are kept.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from testkit.programs import MissingError, ProgramError, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""The names of the program in distributions."""

ANSWER_WITHIN = 120.0
"""Seconds for an answer, enough to start a browser on a busy machine."""

STOP_WITHIN = 10.0
"""Seconds between the end of its pipe and SIGKILL."""

POLL_INTERVAL = 0.05
"""Seconds between two looks at the page."""

READ = 1024 * 1024

_KEY_CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "Delete": 46}
_KEY_CODES |= {"PageUp": 33, "PageDown": 34, "End": 35, "Home": 36}
_KEY_CODES |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
"""The codes that the browser needs, beside a key's name, for what it does by itself."""

OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--force-color-profile=srgb",
)


_LAUNCHER = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in enumerate(pipes, 3):
    os.dup2(pipe, number)
    os.close(pipe)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts the browser, which reads commands from descriptor 3 and writes to descriptor 4."""


class Tab:
    """One tab of a running browser.

    :param commands: the descriptor for commands.
    :param answers: the descriptor for answers and events.
    :param size: the width and height of the viewport, in pixels.
    """

    def __init__(self, commands: int, answers: int, log: Path, size: tuple[int, int]) -> None:
        self.events: list[dict[str, Any]] = []
        """All events so far."""
        self._commands = commands
        self._answers = answers
        self._log = log
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        page = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        self.command("Page.enable")
        self.command("Network.enable")
        self._size = {"width": size[0], "height": size[1]}
        metrics = self._size | {"deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)

    def command(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command; return its result.

        :raises ProgramError: the browser reports an error, ends, or does not answer in time.
        """
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        deadline = time.monotonic() + ANSWER_WITHIN
        while True:
            heard = self._next(deadline, method)
            if heard.get("id") != number:
                self.events.append(heard)
            elif "error" in heard:
                raise ProgramError(f"{method}: {heard['error']['message']}")
            else:
                result: dict[str, Any] = heard["result"]
                return result

    def open(self, url: str) -> None:
        """Open a page.

        :raises ProgramError: the page cannot be loaded.
        """
        if trouble := self.command("Page.navigate", url=url).get("errorText"):
            raise ProgramError(f"{url}: {trouble}")

    def run(self, script: str) -> Any:  # noqa: ANN401 - a value of JavaScript
        """Run JavaScript in the page; return its result, or that of its promise.

        :raises ProgramError: the script fails.
        """
        got = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if trouble := got.get("exceptionDetails"):
            raise ProgramError(f"the page: {trouble['exception'].get('description', trouble)}")
        return got["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the page.

        :raises ProgramError: it was not true in time.
        """
        deadline = time.monotonic() + ANSWER_WITHIN
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise ProgramError(f"waited for {condition!r} in the page")
            time.sleep(POLL_INTERVAL)

    def press(self, *keys: str) -> None:
        """Press keys, such as `Tab` or `ArrowDown`, one after the other."""
        for key in keys:
            params: dict[str, object] = {"key": key, "windowsVirtualKeyCode": _KEY_CODES[key]}
            typed = {"text": "\r"} if key == "Enter" else {}
            self.command("Input.dispatchKeyEvent", type="keyDown", **params, **typed)
            self.command("Input.dispatchKeyEvent", type="keyUp", **params)

    def picture(self) -> bytes:
        """Return a screenshot of the viewport, as PNG."""
        clip = self._size | {"x": 0, "y": 0, "scale": 1}
        return base64.b64decode(
            self.command("Page.captureScreenshot", format="png", clip=clip)["data"]
        )

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise ProgramError(f"the browser did not answer {method}: {self._last_words()}")
            data = os.read(self._answers, READ)
            if not data:
                raise ProgramError(f"the browser has ended: {self._last_words()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1000:].strip()


def find() -> str:
    """Return the path of the browser.

    :raises MissingError: there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise MissingError("Chromium is not installed")


@contextlib.contextmanager
def browser(
    scratch: Path, *options: str, size: tuple[int, int], issuer: Path | None = None
) -> Iterator[Tab]:
    """Run a browser with a profile of its own; yield its tab.

    :param scratch: a folder for the profile and the browser's own output.
    :param options: more options of the browser.
    :param size: the width and height of the viewport, in pixels.
    :param issuer: the certificate in PEM of an additional CA to trust.
    :raises MissingError: Chromium is not installed.
    """
    log = scratch / "browser.log"
    home = scratch / "browser"
    command = [find(), *OPTIONS, f"--user-data-dir={home}", *options]
    if issuer is not None:
        command.append(f"--ignore-certificate-errors-spki-list={_key_hash(issuer)}")
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # it does not run as root otherwise
    with contextlib.ExitStack() as stack:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        errors = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, str(theirs_in), str(theirs_out), *command],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=(theirs_in, theirs_out),
            env=clean_environment() | {"HOME": str(scratch)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        stack.callback(os.close, ours_in)
        stack.callback(_stop, process)
        stack.callback(os.close, ours_out)
        yield Tab(ours_out, ours_in, log, size)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN)
        return
    process.kill()
    process.wait()


def _key_hash(certificate: Path) -> str:
    """Return the hash of a certificate's key (RFC 7469, section 2.4)."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.digest()).decode()
