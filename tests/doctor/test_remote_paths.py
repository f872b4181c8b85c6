"""The doctor tries UDP and the WebSocket, and one of them is enough."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.proxies import parse_proxy
from quictunnel.config.urls import parse_websocket_url
from quictunnel.doctor.check import Check
from quictunnel.doctor.examination import examine
from quictunnel.doctor.finding import Finding, Level, failed, ok
from quictunnel.doctor.line_quality import LineQuality
from quictunnel.doctor.names import RemoteName
from quictunnel.doctor.remote_paths import RemotePaths
from quictunnel.doctor.udp_answers import UdpAnswers
from quictunnel.doctor.websocket_answers import WebSocketAnswers
from quictunnel.errors import LinkFailed
from quictunnel.origin.remote_websocket import RemoteWebSocket
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.path.version_probe import ID_SIZE
from testkit.clock import virtual_time

TARGET = HostPort("vps.example", 9001)
URL = parse_websocket_url("wss://vps.example")

FIRST_ID = 6 + ID_SIZE
"""Where the probe's source connection ID begins in a packet."""


class AnsweringPath:
    """A path whose far end answers probes as a remote does.

    :param versions: the versions of QUIC in the answer; None for no answer.
    :param reason: why the path closes instead; empty if it does not.
    """

    kind = PathKind.WEBSOCKET
    mtu = 1472
    queued = 0
    handler = None

    def __init__(self, versions: tuple[int, ...] | None = (1,), reason: str = "") -> None:
        self.versions, self.reason = versions, reason
        self.sent = 0
        self.was_closed = False

    def send(self, datagrams) -> None:
        loop = asyncio.get_running_loop()
        self.sent += len(datagrams)
        if self.reason:
            loop.call_soon(self.handler.path_closed, self.reason)
        elif self.versions is not None:
            loop.call_later(0.03, self.answer, datagrams[0])

    def answer(self, probe: bytes) -> None:
        listed = b"".join(version.to_bytes(4, "big") for version in self.versions)
        quoted = probe[FIRST_ID + 1 : FIRST_ID + 1 + ID_SIZE]
        ids = bytes([ID_SIZE]) + quoted + bytes([ID_SIZE]) + secrets.token_bytes(ID_SIZE)
        noise = secrets.token_bytes(40)
        self.handler.datagrams_received([noise, b"\x80" + bytes(4) + ids + listed])

    def close(self) -> None:
        self.was_closed = True


class ScriptedOpener:
    """Opens a path of the test, or fails."""

    kind = PathKind.WEBSOCKET

    def __init__(self, result: AnsweringPath | LinkFailed) -> None:
        self._result = result

    async def open(self):
        await asyncio.sleep(0.05)
        if isinstance(self._result, LinkFailed):
            raise self._result
        return self._result


def websocket_check(result, proxy=None, unverified=()) -> WebSocketAnswers:
    websocket = RemoteWebSocket(ScriptedOpener(result), URL)
    return WebSocketAnswers(websocket, proxy and parse_proxy(proxy), unverified)


def findings_of(check: Check) -> list[Finding]:
    found: list[Finding] = []

    @virtual_time
    async def run():
        found.extend(await check.run())

    run()
    return found


def test_a_websocket_that_carries_quic():
    path = AnsweringPath()
    check = websocket_check(path, "http://anna:s3cret@proxy:3128")
    (finding,) = findings_of(check)
    assert finding == ok(
        WebSocketAnswers.title,
        "wss://vps.example/quictunnel through http://proxy:3128 opens in 50 ms, and carries QUIC "
        "packets in 30 ms",
    )
    assert check.has_answered
    assert (path.sent, path.was_closed) == (1, True)


def test_a_certificate_that_does_not_verify_is_a_warning():
    check = websocket_check(AnsweringPath(), unverified=["the certificate of it does not verify"])
    assert [finding.level for finding in findings_of(check)] == [Level.OK, Level.WARNING]


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (LinkFailed("refused"), "over the WebSocket wss://vps.example/quictunnel: refused"),
        (AnsweringPath(None), "opens, but no QUIC server answers in it"),
        (AnsweringPath(reason="the peer closed it"), "answers in it: the peer closed it"),
        (AnsweringPath((7,)), "leads to a QUIC server without version 1"),
    ],
)
def test_a_websocket_that_is_of_no_use(result, sentence):
    check = websocket_check(result)
    (finding,) = findings_of(check)
    assert finding.level is Level.FAILED
    assert finding.sentence.endswith(sentence) or sentence in finding.sentence
    assert not check.has_answered


class ScriptedName(RemoteName):
    """A name that resolves or not."""

    def __init__(self, *, resolves: bool) -> None:
        super().__init__(TARGET)
        self._resolves = resolves

    async def run(self):
        if not self._resolves:
            return [failed(self.title, "does not resolve", "check it")]
        return [ok(self.title, "has the address 192.0.2.1")]


class ScriptedUdp(UdpAnswers):
    """UDP that answers or not."""

    def __init__(self, name: RemoteName, *, answers: bool) -> None:
        super().__init__(name)
        self._answers = answers

    async def run(self):
        if not self._answers:
            return [failed(self.title, "no answer", "open the port")]
        self.address = "192.0.2.1"
        return [ok(self.title, "answers")]


class Dependent(Check):
    """A check that needs a path."""

    title = "session"
    time_limit = 5.0

    def __init__(self, paths: Check) -> None:
        self.needs = (paths,)

    async def run(self):
        return [ok(self.title, "done")]


LEVELS = {Level.OK: "o", Level.WARNING: "w", Level.FAILED: "f", Level.SKIPPED: "s"}


def judge(*, udp: str, websocket: bool, is_expected: bool) -> str:
    """Return the levels of all findings: name, UDP, WebSocket, and a check that needs a path.

    :param udp: `o` if it answers, `f` if it does not, `n` without a name, `-` if it is not tried.
    """
    name = ScriptedName(resolves=udp != "n")
    answers = ScriptedUdp(name, answers=udp == "o")
    result = AnsweringPath() if websocket else LinkFailed("refused")
    paths = RemotePaths(
        None if udp == "-" else (name, answers), websocket_check(result), is_expected=is_expected
    )
    levels = []

    @virtual_time
    async def run():
        findings = await examine([paths, Dependent(paths)], lambda _: None)
        levels.extend(LEVELS[finding.level] for finding in findings)

    run()
    return "".join(levels)


@pytest.mark.parametrize(
    ("udp", "websocket", "is_expected", "levels"),
    [
        ("o", True, False, "oooo"),
        ("o", False, False, "ooso"),  # few remotes serve a WebSocket
        ("o", False, True, "oowo"),
        ("f", True, False, "owoo"),
        ("f", False, False, "ofss"),
        ("f", False, True, "offs"),
        ("n", True, False, "woo"),
        ("n", False, False, "fss"),
        ("-", True, True, "oo"),
        ("-", False, True, "fs"),
    ],
)
def test_one_path_is_enough(udp, websocket, is_expected, levels):
    assert judge(udp=udp, websocket=websocket, is_expected=is_expected) == levels


def test_the_line_over_udp_is_not_measured_if_only_the_websocket_works():
    name = ScriptedName(resolves=True)
    udp = ScriptedUdp(name, answers=False)
    (finding,) = findings_of(LineQuality(udp))
    assert (finding.level, finding.sentence) == (
        Level.SKIPPED,
        "not checked, because of: UDP to the remote",
    )
