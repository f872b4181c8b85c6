"""Several origins for one service: failover, balance, sticky; one is killed, or all restart."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket

import pytest
from named_servers import QUESTION, NamedServer, SteadyLoad, ask

from testkit.connections import TcpPeer
from testkit.programs import LINK_SILENT, PATIENCE, READY_ORIGIN, Program, free_port, logged
from testkit.tunnel import LOOPBACK, Tunnel

NAMES = ("anna", "bert", "cora")

ONE_ENGINE = (
    "test_with_failover_the_first_origin_serves",
    "test_sticky_clients_keep_their_origin",
    "test_origins_that_share_differently_are_refused",
    "test_the_access_log_names_the_origin",
    "test_every_place_can_be_shared",
)


class SharedService:
    """One service of several origins, each with a server that answers with the origin's name."""

    def __init__(self, tunnel: Tunnel, *options: object) -> None:
        self._tunnel = tunnel
        self._options = options
        self._held: list[socket.socket] = []
        self.servers = {name: NamedServer(name) for name in NAMES}
        self.origins: dict[str, Program] = {}
        tunnel.start_remote()
        tunnel.wait_for_remote()

    def start(self, *names: str) -> None:
        """Start origins at the same time, and wait until all are ready."""
        for name in names:
            own = ("--name", name, "--origin", self.servers[name].address)
            self.origins[name] = self._tunnel.start_origin(*own, *self._options)
        for name in names:
            self.origins[name].wait_for(READY_ORIGIN)

    def stop(self, name: str) -> None:
        """Stop an origin in order, and wait until it has ended."""
        self.origins[name].signal(signal.SIGTERM)
        assert self.origins[name].wait() == 0

    def ask(self, source: str = LOOPBACK) -> str:
        """Return the name that a new client gets, and end the client."""
        answer, sock = ask(self._tunnel.outside_port, source)
        sock.close()
        return answer

    def hold(self, count: int) -> dict[str, list[TcpPeer]]:
        """Let clients come and stay; return those of each origin."""
        port = self._tunnel.outside_port
        socks = [socket.create_connection((LOOPBACK, port), PATIENCE) for _ in range(count)]
        self._held += socks
        for sock in socks:
            sock.sendall(QUESTION)
        clients: dict[str, list[TcpPeer]] = {name: [] for name in NAMES}
        for sock in socks:
            with sock.makefile() as lines:
                clients[lines.readline().strip()].append(TcpPeer(sock))
        return clients

    def load(self) -> SteadyLoad:
        return SteadyLoad(self._tunnel.outside_port)

    def close(self) -> None:
        for sock in self._held:
            sock.close()
        for server in self.servers.values():
            server.close()


@pytest.fixture
def share(tunnel):
    """Starts a remote, and origins of these names that share a service with these options."""
    with contextlib.ExitStack() as stack:

        def start(*options: object, names: tuple[str, ...] = NAMES) -> SharedService:
            service = SharedService(tunnel, *options)
            stack.callback(service.close)
            service.start(*names)
            return service

        yield start


@pytest.fixture
def many_files():
    """Lets this process have the descriptors of 1,000 clients and their servers."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_with_failover_the_first_origin_serves(share):
    first, second, third = NAMES
    service = share("--share", "failover", names=(first,))
    for name in (second, third):
        service.start(name)
    assert {service.ask() for _ in range(10)} == {first}
    service.stop(first)
    assert {service.ask() for _ in range(10)} == {second}
    service.start(first)
    assert service.ask() == second
    service.stop(second)
    assert service.ask() == third
    service.stop(third)
    assert service.ask() == first


def test_clients_spread_evenly_over_origins(share, many_files):
    clients = share("--share", "balance").hold(1000)
    for name in NAMES:
        assert 0.9 * 1000 / 3 <= len(clients[name]) <= 1.1 * 1000 / 3


def test_no_new_client_fails_when_an_origin_is_killed(share, tunnel):
    service = share("--share", "balance")
    killed, *others = NAMES
    before = service.hold(30)
    load = service.load()
    service.origins[killed].kill()
    tunnel.remote.wait_for_log(logged(LINK_SILENT, origin=killed))
    tunnel.remote.wait_for_log("client moved .*origin=anna")
    assert all(load.stop()[name] for name in others)
    service.start(killed)
    assert all(client.is_reset() for client in before[killed])
    for name in others:
        for client in before[name]:
            client.send(QUESTION)
            assert client.receive(5) == f"{name}\n".encode()
    # It has no client yet, and gets all of the next ones until it has as many as the others.
    after = service.hold(len(before[others[0]]))
    assert {name: len(clients) for name, clients in after.items() if clients} == {killed: 10}


def test_no_new_client_fails_while_all_origins_restart(share):
    service = share("--share", "balance")
    load = service.load()
    for name in NAMES:
        old = service.origins[name]
        old.signal(signal.SIGTERM)
        service.start(name)
        assert old.wait() == 0
    assert set(load.stop()) == set(NAMES)


def test_sticky_clients_keep_their_origin(share):
    service = share("--share", "balance", "--sticky")
    sources = [f"127.0.0.{number}" for number in range(1, 41)]
    before = {source: service.ask(source) for source in sources}
    assert set(before.values()) == set(NAMES)
    assert {source: service.ask(source) for source in sources} == before
    stopped = NAMES[1]
    service.stop(stopped)
    meanwhile = {source: service.ask(source) for source in sources}
    moved = {source for source in sources if meanwhile[source] != before[source]}
    assert moved == {source for source in sources if before[source] == stopped}
    service.start(stopped)
    assert {source: service.ask(source) for source in sources} == before


def test_origins_that_share_differently_are_refused(share, tunnel):
    service = share("--share", "balance", names=("anna",))
    for options, sentence in (
        (
            ("--share", "failover"),
            "with share 'balance', not 'failover'; start this origin with --share balance",
        ),
        (("--share", "single"), "with share 'balance'; start this origin with --share balance"),
    ):
        own = ("--name", "doris", "--origin", service.servers["anna"].address)
        refused = tunnel.start_origin(*own, *options)
        assert refused.wait() == 3
        assert f"origin 'anna' already serves the outside address {sentence}" in refused.stderr


def test_every_place_can_be_shared(tunnel):
    port, http = free_port(), free_port()
    options = ("--http", f"{LOOPBACK}:{http}", "--hosts", "www.example.com", "--ports", port)
    tunnel.start_remote(*options)
    tunnel.wait_for_remote()
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            server = NamedServer(name)
            stack.callback(server.close)
            places = ("", f"{port}=", "www.example.com=")
            words = [word for place in places for word in ("--origin", place + server.address)]
            tunnel.start_origin(*words, "--name", name, "--share", "balance").wait_for(
                READY_ORIGIN, times=len(places)
            )
        request = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
        for at, question in ((tunnel.outside_port, QUESTION), (port, QUESTION), (http, request)):
            answers = [ask(at, question=question) for _ in NAMES]
            assert {name for name, _ in answers} == set(NAMES)
            for _, sock in answers:
                sock.close()


def test_a_client_of_a_killed_origin_is_served_by_its_successor(tunnel):
    """The client comes after the death of the origin, and before the remote notices it."""
    tunnel.up(origin=("--share", "failover")).origin.kill()
    client = tunnel.connect()
    client.send(b"question")
    tunnel.start_origin("--share", "failover")
    tunnel.wait_for_origin()
    server = tunnel.accept()
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"
    tunnel.remote.wait_for_log("client moved  ")


def test_the_access_log_names_the_origin(share, tunnel):
    clients = share("--share", "balance").hold(6)
    for name in NAMES:
        for client in clients[name]:
            client.reset()
        tunnel.remote.wait_for_log(rf"client closed .*origin={name}\b", times=2)
