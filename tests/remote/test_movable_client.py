"""A client whose origin has not answered yet is moved to another origin, with all it has sent."""

from __future__ import annotations

import asyncio
import random

import pytest
from role_doubles import TOKEN, FakeTcp, House, Tunnel, of_type

from quictunnel.config.grants import Grant
from quictunnel.config.policy import Policy
from quictunnel.config.tokens import Token
from quictunnel.events import ClientAccepted, ClientClosed, ClientMoved
from quictunnel.protocol.codes import Code
from quictunnel.relay.sides import TcpSide
from quictunnel.remote import admission
from quictunnel.remote.admission import NO_ORIGIN
from quictunnel.remote.movable_client import MAX_KEPT
from testkit.clock import seconds, settle, virtual_time


class SharingTunnel(Tunnel):
    """A tunnel of an origin that shares its service."""

    def __init__(self, house: House, name: str, share: str | None = "failover") -> None:
        super().__init__(house, name=name, share=share)

    def die(self) -> None:
        """Let the origin's process die: nothing comes from it any more."""
        self.near.freeze()
        self.far.freeze()

    @property
    def server(self) -> FakeTcp:
        (server,) = self.upstream.connections
        return server


async def two_origins(**house) -> tuple[House, SharingTunnel, SharingTunnel]:
    """Return a remote and two origins, of which the first one serves and has just died."""
    at = House(**house)
    first, second = SharingTunnel(at, "first"), SharingTunnel(at, "second")
    await first.up()
    await second.up()
    first.die()
    return at, first, second


@virtual_time
async def test_another_origin_gets_all_that_the_client_has_sent():
    house, first, second = await two_origins()
    client = house.client()
    client.send(b"POST / HTTP/1.1\r\n")
    client.send(b"\r\n")
    await seconds(1)
    assert second.upstream.connections == []
    first.far.go_silent()
    await settle()
    assert second.server.written == b"POST / HTTP/1.1\r\n\r\n"
    second.server.send(b"200 OK")
    await settle()
    client.send(b"more")
    await settle()
    assert (client.written, second.server.written[-4:]) == (b"200 OK", b"more")
    (moved,) = of_type(house.events, ClientMoved)
    (accepted,) = of_type(house.events, ClientAccepted)
    assert (moved.id, moved.service, moved.origin) == (accepted.id, "default", "first")
    client.send_eof()
    second.server.send_eof()
    await settle()
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.origin, closed.bytes_up, closed.bytes_down) == ("second", 23, 6)
    assert not len(second.remote.clients)


@virtual_time
async def test_the_origin_that_did_not_answer_ends_its_part_when_it_is_back():
    house, first, second = await two_origins()
    house.client().send(b"question")
    first.far.go_silent()
    await settle()
    assert len(second.upstream.connections) == 1
    assert not len(first.remote.clients)
    first.near.thaw()
    first.far.thaw()
    first.far.come_back()
    await settle()
    assert first.server.was_reset
    assert not len(first.origin.clients)


@virtual_time
async def test_the_end_of_the_clients_direction_moves_too():
    house, first, second = await two_origins()
    client = house.client()
    client.send(b"question")
    client.send_eof()
    first.far.go_silent()
    await settle()
    assert (second.server.written, second.server.eof_written) == (b"question", True)
    second.server.send(b"answer")
    second.server.send_eof()
    await settle()
    assert (client.written, client.was_closed) == (b"answer", True)


@virtual_time
async def test_a_client_that_was_answered_stays_with_its_origin():
    """The answer is an acknowledgement: the origin server need not have said anything."""
    house = House()
    first = await SharingTunnel(house, "first").up()
    second = await SharingTunnel(house, "second").up()
    client = house.client()
    client.send(b"question")
    await settle()
    first.die()
    client.send(b"!")
    first.far.go_silent()
    await seconds(60)
    assert (client.is_over, second.upstream.connections) == (False, [])
    first.far.die()
    await settle()
    assert client.was_reset
    assert of_type(house.events, ClientMoved) == []


@virtual_time
async def test_after_an_answer_nothing_is_kept():
    house = House()
    await SharingTunnel(house, "first").up()
    client = house.client()
    before = client.protocol
    client.send(b"question")
    assert before._kept == b"question"
    await settle()
    assert client.protocol is not before
    assert before._kept == b""


@virtual_time
async def test_a_client_that_has_sent_much_stays_with_its_origin():
    house, first, second = await two_origins()
    clients = [house.client() for _ in range(2)]
    clients[0].send(bytes(MAX_KEPT))
    clients[1].send(bytes(MAX_KEPT))
    clients[1].send(b"!")
    first.far.go_silent()
    await settle()
    assert second.server.written == bytes(MAX_KEPT)
    first.far.die()
    await settle()
    assert [client.was_reset for client in clients] == [False, True]


@virtual_time
async def test_without_another_origin_it_stays_until_one_comes():
    """A link that is only silent may answer again, which is better than any other origin."""
    house = House(client_wait=10.0)
    first = await SharingTunnel(house, "first").up()
    first.die()
    client = house.client()
    client.send(b"question")
    first.far.go_silent()
    await seconds(60)
    assert not client.is_over
    second = await SharingTunnel(house, "second").up()
    assert second.server.written == b"question"


@virtual_time
async def test_a_silence_that_ends_changes_nothing():
    house = House()
    first = await SharingTunnel(house, "first").up()
    first.die()
    client = house.client()
    client.send(b"question")
    first.far.go_silent()
    await seconds(3)
    first.near.thaw()
    first.far.thaw()
    first.far.come_back()
    await settle()
    first.server.send(b"answer")
    await settle()
    assert client.written == b"answer"
    assert of_type(house.events, ClientMoved) == []


@virtual_time
async def test_it_waits_for_the_next_origin_when_the_link_is_lost():
    house = House(client_wait=10.0)
    old = await SharingTunnel(house, "box").up()
    old.die()
    client = house.client()
    client.send(b"question")
    old.far.die()
    await seconds(9)
    assert not client.is_reading()
    new = await SharingTunnel(house, "box").up()
    assert new.server.written == b"question"


@virtual_time
async def test_the_client_of_a_service_with_one_origin_stays():
    """Only an origin that shares a service says that a request may come twice."""
    house = House()
    old = await SharingTunnel(house, "box", share=None).up()
    old.die()
    client = house.client()
    client.send(b"question")
    await seconds(1)
    old.far.die()
    await settle()
    assert client.was_reset


@virtual_time
async def test_an_origin_of_another_token_never_gets_what_the_client_has_sent():
    """The outside address may pass from one token to another. A request may hold a secret."""
    other = Token.new()
    house = House(tokens={TOKEN.id: TOKEN, other.id: other})
    first = await SharingTunnel(house, "first").up()
    first.die()
    client = house.client()
    client.send(b"question")
    stranger = Tunnel(house, name="stranger", token=other)
    greeting = asyncio.ensure_future(stranger.up())
    await seconds(5)
    await greeting
    assert client.was_reset
    assert stranger.upstream.connections == []
    house.client()
    await settle()
    assert len(stranger.upstream.connections) == 1


@virtual_time
async def test_but_not_for_long():
    house = House(client_wait=10.0)
    old = await SharingTunnel(house, "box").up()
    old.die()
    client = house.client()
    client.send(b"question")
    old.far.die()
    await seconds(11)
    assert client.was_reset
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.ending, closed.reason) == NO_ORIGIN
    assert house.admission.pending == 0
    assert house.admission._count == 0


@virtual_time
async def test_a_restarted_origin_serves_the_clients_of_the_killed_one():
    house = House()
    old = await SharingTunnel(house, "box").up()
    served, unanswered = house.client(), None
    served.send(b"first")
    await settle()
    old.die()
    unanswered = house.client()
    unanswered.send(b"second")
    new = await SharingTunnel(house, "box").up()
    await seconds(2)  # the remote pings the old link before it gives up the place
    assert served.was_reset
    assert new.server.written == b"second"


@virtual_time
async def test_an_origin_that_takes_one_of_two_services_gets_its_clients():
    house = House("web", "ssh")
    both = await Tunnel(house, "web", "ssh", name="both", share="failover").up()
    both.near.freeze()
    both.far.freeze()
    clients = [house.client("web"), house.client("ssh")]
    for client in clients:
        client.send(b"question")
    both.far.go_silent()
    web = await Tunnel(house, "web", name="other", share="failover").up()
    (server,) = web.upstream.connections
    assert server.written == b"question"
    assert [len(both.remote.clients), len(web.remote.clients)] == [1, 1]
    assert not both.far.is_closed


@virtual_time
async def test_a_client_that_leaves_meanwhile_is_forgotten():
    house, first, second = await two_origins()
    client = house.client()
    client.send(b"question")
    client.fail(ConnectionResetError("gone"))
    first.far.go_silent()
    await settle()
    assert second.upstream.connections == []
    assert len(of_type(house.events, ClientClosed)) == 1
    assert not len(first.remote.clients)


@virtual_time
async def test_a_remote_that_stops_takes_no_client_back():
    house, first, second = await two_origins()
    client = house.client()
    client.send(b"question")
    house.admission.close("the remote was stopped")
    first.far.go_silent()
    await settle()
    assert client.was_reset
    assert second.upstream.connections == []
    (closed,) = of_type(house.events, ClientClosed)
    assert closed.reason == "the remote was stopped"


@virtual_time
async def test_an_origin_that_is_cut_off_loses_its_clients():
    house, first, _ = await two_origins()
    client = house.client()
    client.send(b"question")
    first.remote.abort(Code.BAD_TOKEN)
    await settle()
    assert client.was_reset
    assert of_type(house.events, ClientMoved) == []


@virtual_time
async def test_a_moved_client_counts_once():
    house, first, second = await two_origins(
        policies={None: Policy(max_clients=2)}, grants={TOKEN.id: Grant(max_clients=2)}
    )
    clients = [house.client(), house.client()]
    first.far.go_silent()
    await settle()
    assert len(second.remote.clients) == second.remote.clients_at("default") == 2
    assert first.remote.clients_at("default") == 0
    assert house.client().was_reset
    clients[0].abort()
    await settle()
    assert not house.client().was_reset


@virtual_time
async def test_a_moved_client_keeps_its_limits():
    house, first, second = await two_origins(policies={None: Policy(rate_per_client=1000)})
    client = house.client()
    client.send(b"question")
    before = client.read_limiter
    first.far.go_silent()
    await settle()
    second.server.send(b"answer")
    await settle()
    assert client.written == b"answer"
    assert client.read_limiter is not before
    assert before.allow(1_000_000) == 1_000_000, "it waits for nothing any more"
    assert client.read_limiter.allow(1_000_000) <= 1000


@virtual_time
async def test_clients_that_were_taken_back_are_bounded(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 2)
    house = House()
    only = await SharingTunnel(house, "box").up()
    only.die()
    clients = [house.client() for _ in range(3)]
    only.far.die()
    await settle()
    assert sum(client.was_reset for client in clients) == 1
    assert house.admission.pending == 2


@pytest.mark.parametrize("seed", range(5))
def test_no_client_is_lost_whatever_happens(seed):
    """Origins die at random, and others come. A client is reset only if its origin answered it."""
    rng = random.Random(seed)

    @virtual_time
    async def story():
        house = House(client_wait=60.0)
        tunnels = [await SharingTunnel(house, name).up() for name in ("a", "b", "c")]
        alive, answered, clients = list(tunnels), set(), []
        for number in range(60):
            if rng.random() < 0.2:
                dead = alive.pop(rng.randrange(len(alive)))
                dead.die()
                await seconds(rng.random())
                dead.far.go_silent()
                if rng.random() < 0.5:
                    dead.far.die()
                alive.append(await SharingTunnel(house, f"new-{number}").up())
                tunnels.append(alive[-1])
            client = house.client(peer=("192.0.2.7", number))
            client.send(f"<{number}>".encode())
            clients.append(client)
            if rng.random() < 0.5:
                await settle()
            answered |= {client for client in clients if isinstance(client.protocol, TcpSide)}
        await settle()
        for number, client in enumerate(clients):
            served = [tunnel for tunnel in tunnels if f"<{number}>".encode() in written(tunnel)]
            assert client.was_reset <= (client in answered)
            assert served
            assert len([tunnel for tunnel in served if tunnel in alive]) <= 1
        assert house.admission.pending == 0

    story()


def written(tunnel: SharingTunnel) -> set[bytes]:
    """Return what each client has sent to the origin server."""
    return {server.written for server in tunnel.upstream.connections}
