"""An attempt asks the peer at each of the remote's addresses, until one proves itself."""

from __future__ import annotations

import pytest
from role_doubles import origin_session
from scripted_remote import welcome

from quictunnel.config.addresses import HostPort
from quictunnel.errors import LinkError, LinkFailed, LinkLost, Refused
from quictunnel.origin import link_dialing
from quictunnel.origin.attempt import Attempt
from quictunnel.origin.link_dialing import RemoteAddresses
from quictunnel.protocol.codes import Code
from quictunnel.quic.settings import ClientTls, LinkSettings

REFUSED = Refused(Code.BAD_TOKEN, "no")
PROVEN = Refused(Code.SERVICE_TAKEN, "taken", is_proven=True)
LOST = LinkLost(None, "lost")
UNREACHABLE = LinkFailed("no answer")
WELCOME = welcome()


class Peers:
    """The remote's addresses, each of which cannot be dialled, refuses the hello, or welcomes it.

    :param dials: for each address, the error of the dial, or None.
    :param greetings: for each address that was dialled, the error of the greeting, or None.
    """

    def __init__(self, dials: list[Exception | None], greetings: list[Exception | None]) -> None:
        self.left = [*dials, LinkFailed("no other address")]
        self.greetings = greetings
        self.attempt = Attempt(self.dial, self.greet)

    async def dial(self):
        error = self.left.pop(0)
        if error is not None:
            raise error

    async def greet(self, _session):
        error = self.greetings.pop(0)
        if error is not None:
            raise error
        return WELCOME


@pytest.mark.parametrize("wrong", [REFUSED, LOST])
async def test_a_peer_that_does_not_prove_itself_does_not_keep_the_origin_from_the_next(wrong):
    peers = Peers([None, None], [wrong, None])
    _, answer = await peers.attempt.run()
    assert answer is WELCOME
    assert peers.attempt.was_answered


async def test_a_proven_refusal_is_not_followed_by_another_address():
    peers = Peers([None, None], [PROVEN, None])
    with pytest.raises(Refused) as caught:
        await peers.attempt.run()
    assert caught.value is PROVEN
    assert len(peers.left) == 2


@pytest.mark.parametrize(
    ("dials", "greetings", "raised"),
    [
        ([None], [REFUSED], REFUSED),
        ([None], [LOST], LOST),
        ([None, UNREACHABLE], [LOST], LOST),
        ([None, UNREACHABLE], [REFUSED], REFUSED),
        ([None, None], [LOST, REFUSED], REFUSED),
        ([None, REFUSED], [LOST], REFUSED),
        ([REFUSED], [], REFUSED),
    ],
)
async def test_the_error_is_a_refusal_if_there_is_one_and_otherwise_the_first(
    dials, greetings, raised
):
    peers = Peers(dials, greetings)
    with pytest.raises((LinkError, Refused)) as caught:
        await peers.attempt.run()
    assert caught.value is raised
    assert peers.attempt.was_answered


async def test_a_remote_that_cannot_be_reached_has_not_answered():
    peers = Peers([UNREACHABLE], [])
    with pytest.raises(LinkFailed):
        await peers.attempt.run()
    assert not peers.attempt.was_answered


async def test_an_address_that_has_made_a_link_is_not_dialled_again(monkeypatch):
    dialled: list[str] = []

    async def resolve(_target):
        return ["192.0.2.1", "192.0.2.2"]

    async def dial(host, _port, **_):
        dialled.append(host)

    monkeypatch.setattr(link_dialing, "resolve", resolve)
    monkeypatch.setattr(link_dialing, "dial", dial)
    addresses = RemoteAddresses(
        HostPort("remote.example", 9001),
        make_session=lambda: origin_session()[0],
        client_tls=ClientTls(server_name="remote.example", verify="none"),
        settings=LinkSettings(),
    )
    await addresses.dial()
    await addresses.dial()
    assert dialled == ["192.0.2.1", "192.0.2.2"]
    with pytest.raises(LinkFailed, match="no other address"):
        await addresses.dial()
