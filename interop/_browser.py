"""Headless Chromium, driven over a pipe by the DevTools protocol. Knows no page.

One tab. Commands wait for their answers; events that come meanwhile are kept.
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
import time
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop._facts import MissingError
from testkit.programs import ProgramError, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""What it is called by distributions."""

ANSWER_WITHIN = 120.0
"""Seconds for an answer: a browser that starts on a busy machine."""

STOP_WITHIN = 10.0
"""Seconds for it to end once its pipe is closed; then it is killed."""

READ = 1024 * 1024

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


class Tab:
    """One tab of a browser that runs.

    :param commands: a descriptor for what we say.
    :param answers: a descriptor for what it says.
    :param size: of its window's inside, in pixels: width and height.
    """

    def __init__(self, commands: int, answers: int, log: Path, size: tuple[int, int]) -> None:
        self.events: list[dict[str, Any]] = []
        """All that has come so far."""
        self._commands = commands
        self._answers = answers
        self._log = log
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        page = self.say("Target.createTarget", url="about:blank")["targetId"]
        attached = self.say("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        self.say("Page.enable")
        self.say("ForwarderProgram.enable")
        self._size = {"width": size[0], "height": size[1]}
        metrics = self._size | {"deviceScaleFactor": 1, "mobile": False}
        self.say("Emulation.setDeviceMetricsOverride", **metrics)

    def say(self, method: str, **params: object) -> dict[str, Any]:
        """Give a command; return what it answers.

        :raises ProgramError: it refuses, ends, or does not answer in time.
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
        """Go to a page.

        :raises ProgramError: it cannot be reached.
        """
        if trouble := self.say("Page.navigate", url=url).get("errorText"):
            raise ProgramError(f"{url}: {trouble}")

    def run(self, script: str) -> Any:
        """Run JavaScript in the page; wait for what it promises, and return that.

        :raises ProgramError: it fails.
        """
        got = self.say("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if trouble := got.get("exceptionDetails"):
            raise ProgramError(f"the page: {trouble['exception'].get('description', trouble)}")
        return got["result"].get("value")

    def picture(self) -> bytes:
        """Return a screenshot of the window's inside, as PNG."""
        clip = self._size | {"x": 0, "y": 0, "scale": 1}
        return base64.b64decode(self.say("Page.captureScreenshot", format="png", clip=clip)["data"])

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
def browser(scratch: Path, issuer: Path, *options: str, size: tuple[int, int]) -> Iterator[Tab]:
    """Run a browser with a profile of its own, and give its tab.

    :param issuer: the certificate in PEM whose key may sign those of sites, beside the usual ones.
    :param options: more of its options.
    :param size: of its window's inside, in pixels: width and height.
    """
    log = scratch / "browser.log"
    home = scratch / "browser"
    command = [find(), *OPTIONS, f"--user-data-dir={home}", *options]
    command.append(f"--ignore-certificate-errors-spki-list={_key_hash(issuer)}")
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # it refuses to run as root otherwise, as CI does
    with contextlib.ExitStack() as stack:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        errors = stack.enter_context(log.open("wb"))
        # It wants to be spoken to on descriptor 3, and answers on 4.
        process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh", *command],
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
    """Return the hash by which Chromium names a certificate's key (RFC 7469, section 2.4)."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.digest()).decode()
