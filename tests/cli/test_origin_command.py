"""The output of `quictunnel origin`, and its warning about a missing origin server."""

from __future__ import annotations

import asyncio
import socket

import pytest
from quiet_role import QuietRole
from state_directory import SECRET

from quictunnel.cli.main import invoke
from quictunnel.cli.origin_probe import is_server_missing
from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.errors import Refused
from quictunnel.events import (
    GrantedService,
    LinkDropped,
    LinkEnding,
    RefusalKind,
    ServiceNotGranted,
    ServicesGranted,
)
from quictunnel.protocol.codes import Code

TOKEN = f"laptop.{SECRET}"


@pytest.fixture
def run_origin(monkeypatch, capfd):
    """Runs the command with a fake origin; returns its settings, exit code and output."""

    def run(*words, events=(), error=None, is_missing=False):
        async def probe(_):
            return is_missing

        class FakeOrigin(QuietRole):
            """An origin that emits these events, and then ends or raises the error."""

            def __init__(self, settings, *, emit, **_):
                self._emit = emit
                seen.append(settings)

            async def start(self):
                pass

            async def wait_closed(self):
                await asyncio.sleep(0)
                for event in events:
                    self._emit(event)
                if error is not None:
                    raise error

            def abort(self):
                pass

        seen = []
        monkeypatch.setattr("quictunnel.cli.origin.Origin", FakeOrigin)
        monkeypatch.setattr("quictunnel.cli.origin.is_server_missing", probe)
        code = invoke(["origin", "--remote", "vps", "--log-level", "error", *words])
        return (*seen, code, *capfd.readouterr())

    return run


def granted(address):
    services = (GrantedService("default", address),)
    return ServicesGranted("192.0.2.1:9001", services, is_first=True)


@pytest.mark.parametrize("words", [("8000",), ("--origin", "8000"), ("8000", "--origin", "8000")])
def test_the_target_is_an_argument_or_an_option(run_origin, words):
    settings, code, *_ = run_origin(*words)
    (service,) = settings.services
    assert (service.name, service.target) == ("default", HostPort("localhost", 8000))
    assert code == 0


def test_an_origin_has_several_services(run_origin):
    settings, code, *_ = run_origin("8000", "--origin", "2222=22", "--proxy-protocol", "v2")
    assert [str(service.ports) for service in settings.services] == ["None", "2222"]
    assert {service.proxy_protocol for service in settings.services} == {"v2"}
    assert code == 0


def test_an_option_shares_all_services(run_origin):
    words = ("8000", "--origin", "80=1", "--share", "balance", "--sticky")
    settings, code, *_ = run_origin(*words)
    assert {(service.share, service.sticky) for service in settings.services} == {("balance", True)}
    assert code == 0


@pytest.mark.parametrize("words", [("8000", "--sticky"), ("8000", "--sticky", "--share=failover")])
def test_sticky_without_balance_is_an_error(run_origin, words):
    code, _, err = run_origin(*words)
    assert "--sticky needs a service with the share 'balance'" in err
    assert code == 2


def test_a_free_port_is_not_shared(run_origin):
    code, _, err = run_origin("auto=8000", "--share", "failover")
    assert "the service 'auto-1' is at any free port, which cannot be shared" in " ".join(
        err.split()
    )
    assert code == 2


def test_a_refused_service_is_printed(run_origin):
    refused = ServiceNotGranted(
        "192.0.2.1:9001", "2222", "port 2222 is taken", RefusalKind.SERVICE_TAKEN
    )
    _, _, out, _ = run_origin("8000", events=[granted("[::]:9000"), refused])
    assert out.splitlines()[1:] == ["refused: service 2222: port 2222 is taken"]


def test_ready_and_what_follows(run_origin):
    lost = LinkDropped(
        "box", None, "192.0.2.7", "the remote was stopped", None, LinkEnding.GOODBYE, "ab12"
    )
    again = granted("\x1b[2J:9")
    events = [granted("[::]:9000"), lost, again]
    _, code, out, err = run_origin("1", events=events, is_missing=True)
    assert out.splitlines() == [
        "ready: vps:9000 at the remote -> localhost:1",
        "lost: the remote was stopped; reconnecting",
        "ready: \\x1b[2J:9 at the remote -> localhost:1",
    ]
    assert (code, err) == (0, "")


def test_a_missing_server_is_logged(run_origin):
    _, code, out, err = run_origin("1", "--log-level", "info", is_missing=True)
    assert (code, out) == (0, "")
    assert err.endswith("WARN  origin  origin server not listening yet  target=localhost:1\n")


def test_a_ready_line_that_cannot_be_written_ends_the_origin(run_origin, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        _, code, _, err = run_origin("1", events=[granted("[::]:9000")])
    assert code == 1
    assert err == "quictunnel: standard output cannot be written: no space left on device\n"


def test_a_secret_that_is_easy_to_guess_is_a_warning(run_origin):
    _, _, out, _ = run_origin("1", "--token", "box.passwordpasswordpassword")
    assert out == (
        "warning: the secret of token box is easy to guess: it has about 42 bits, and should have "
        "80; 'quictunnel token new' creates a good one\n"
    )
    assert run_origin("1", "--token", TOKEN)[2] == ""


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--token", TOKEN), ""),
        (
            (),
            "; give the remote's token with QUICTUNNEL_TOKEN or --token-file "
            "('quictunnel token show' there prints it)",
        ),
    ],
)
def test_a_refusal_without_a_token_says_where_the_token_is(run_origin, words, advice):
    refusal = Refused(Code.NO_TOKEN, "a token is required")
    _, exit_code, _, err = run_origin("1", *words, error=refusal)
    assert exit_code == 3
    assert err == f"quictunnel: a token is required{advice}\n"


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_a_server_is_missing_while_its_address_is_free(free_port, tmp_path):
    local = HostPort("127.0.0.1", free_port)
    assert await is_server_missing(local)
    with socket.create_server(("127.0.0.1", free_port)) as server:
        assert not await is_server_missing(local)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()  # the check was no client


@pytest.mark.parametrize("target", [HostPort("192.0.2.1", 80), HostPort("x.invalid", 80)])
async def test_a_server_on_another_machine_is_not_checked(target):
    assert not await is_server_missing(target)


async def test_a_unix_socket_is_missing_while_there_is_no_file(tmp_path):
    path = tmp_path / "web"
    assert await is_server_missing(UnixPath(str(path)))
    path.touch()
    assert not await is_server_missing(UnixPath(str(path)))
