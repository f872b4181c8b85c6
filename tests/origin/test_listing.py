"""The lists that an origin sends of its services, and what it reports of the answers."""

from __future__ import annotations

from role_doubles import FakeService, FakeUpstream, of_type

from quictunnel.config.addresses import HostPort
from quictunnel.config.services import ServiceSettings
from quictunnel.events import (
    GrantedService,
    RefusalKind,
    ServiceNotGranted,
    ServicesGranted,
    ServicesLeftOut,
)
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.origin.listing import OLDER_REMOTE, Listing
from quictunnel.origin.offer import Offer
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import (
    MAX_SERVICES,
    RefusedService,
    Service,
    Services,
    Welcome,
)
from quictunnel.protocol.service_list import MAX_LISTED, ServiceListJoiner, split_list

PEER = "192.0.2.1:9001"


def names(count: int) -> list[str]:
    return [f"s{number}" for number in range(count)]


def offer(services, withdrawn=()) -> Offer:
    upstream = FakeUpstream()
    return Offer({name: FakeService(name, upstream) for name in services}, withdrawn)


def taken(name: str) -> RefusedService:
    return RefusedService(name=name, code=Code.SERVICE_TAKEN, message="it is taken")


class Remote:
    """The remote's end, in the test's hands."""

    def __init__(self, services, withdrawn=(), *, accepts: int | None = MAX_LISTED) -> None:
        self.sent: list[Services] = []
        self.events = []
        self.accepts = accepts
        self.offer = offer(services, withdrawn)
        self.listing = Listing(self.offer, self.sent.append, self.events.append)

    @property
    def hello(self) -> list[str]:
        return [service.name for service in self.listing.hello.requests]

    def welcome(self, *granted: str, refused=()) -> Remote:
        message = Welcome(
            proof="",
            instance="",
            hold=1.0,
            services=[Service(name=name) for name in granted],
            refused=list(refused),
            max_services=self.accepts,
        )
        self.listing.welcomed(message, PEER)
        self.listing.open(self.offer)
        return self

    def answer(self, *granted: str, refused=()) -> None:
        for part in split_list([Service(name=name) for name in granted], list(refused)):
            self.listing.received(part)

    def asked(self) -> list[str]:
        """Return the names in the list that was sent last, and forget it."""
        joiner = ServiceListJoiner()
        lists = [joiner.add(message) for message in self.sent]
        self.sent.clear()
        *_, last = [each for each in lists if each is not None]
        return [service.name for service in last.services]

    def granted(self) -> list[tuple[list[str], bool]]:
        events = of_type(self.events, ServicesGranted)
        return [([each.name for each in event.services], event.is_first) for event in events]


def test_the_answer_to_a_complete_hello_is_reported_at_once():
    remote = Remote(["web", "ssh"]).welcome("web", refused=[taken("ssh")])
    assert remote.listing.hello.is_complete
    assert remote.sent == []
    assert remote.events == [
        ServicesGranted(PEER, (GrantedService("web", None),), is_first=True),
        ServiceNotGranted(PEER, "ssh", "it is taken", RefusalKind.SERVICE_TAKEN),
    ]


def test_a_remote_that_gives_no_reasons_is_older():
    remote = Remote(["web", "ssh"], accepts=None).welcome("web")
    assert of_type(remote.events, ServiceNotGranted) == [
        ServiceNotGranted(PEER, "ssh", OLDER_REMOTE, RefusalKind.OTHER)
    ]


def test_what_the_remote_repeats_is_reported_once():
    remote = Remote(["web", "ssh"]).welcome("web", refused=[taken("ssh")])
    for _ in range(2):
        remote.answer(refused=[taken("ssh"), taken("web")])
    assert [event.service for event in of_type(remote.events, ServiceNotGranted)] == ["ssh", "web"]
    assert remote.granted() == [(["web"], True), ([], False)]


def test_a_new_origin_server_is_reported_though_the_remote_repeats_its_answer():
    remote = Remote(["default"]).welcome("default")
    moved = ExposedService(ServiceSettings(target=HostPort("localhost", 9)))
    for _ in range(2):
        remote.listing.change(Offer({"default": moved}))
        remote.answer("default")
    assert remote.granted() == [(["default"], True), (["default"], False)]


def test_a_service_that_is_refused_again_is_reported_again():
    remote = Remote(["web"]).welcome(refused=[taken("web")])
    remote.answer("web")
    remote.answer(refused=[taken("web")])
    assert len(of_type(remote.events, ServiceNotGranted)) == 2


def test_an_answer_to_an_earlier_list_refuses_no_new_service():
    remote = Remote(["web"]).welcome("web")
    remote.listing.change(offer(["web", "ssh"]))
    remote.answer("web", refused=[taken("gone")])
    assert of_type(remote.events, ServiceNotGranted) == []


def test_services_that_fit_no_hello_follow_the_welcome():
    every = names(1000)
    remote = Remote(every)
    assert remote.hello == every[:MAX_SERVICES]
    assert not remote.listing.hello.is_complete
    remote.welcome()
    assert remote.events == []
    assert remote.asked() == every
    remote.answer(*every[:-1], refused=[taken("s999")])
    assert remote.granted() == [(every[:-1], True)]
    assert of_type(remote.events, ServiceNotGranted) == [
        ServiceNotGranted(PEER, "s999", "it is taken", RefusalKind.SERVICE_TAKEN)
    ]


def test_an_older_remote_gets_the_services_of_one_message():
    every = names(1000)
    remote = Remote(every, accepts=None)
    remote.welcome(*every[:MAX_SERVICES])
    assert remote.sent == []
    assert remote.granted() == [(every[:MAX_SERVICES], True)]
    assert of_type(remote.events, ServiceNotGranted) == []
    assert of_type(remote.events, ServicesLeftOut) == [
        ServicesLeftOut(PEER, "s128", 872, MAX_SERVICES)
    ]
    remote.listing.change(offer(every))
    assert remote.asked() == every[:MAX_SERVICES]
    assert len(of_type(remote.events, ServicesLeftOut)) == 1
    remote.listing.change(offer(names(129)))
    assert of_type(remote.events, ServicesLeftOut)[1:] == [
        ServicesLeftOut(PEER, "s128", 1, MAX_SERVICES)
    ]


def test_a_remote_that_accepts_more_than_an_origin_may_have_gets_no_more():
    remote = Remote(names(MAX_LISTED), accepts=10 * MAX_LISTED).welcome()
    assert len(remote.asked()) == MAX_LISTED


def test_withdrawn_services_are_not_asked_for():
    remote = Remote(["web", "ssh"], withdrawn=["web"])
    assert (remote.hello, remote.listing.hello.is_complete) == (["ssh"], True)
    remote.welcome("ssh")
    remote.listing.change(offer(["web", "ssh"]))
    assert remote.asked() == ["web", "ssh"]


def test_a_hello_lists_withdrawn_services_if_there_are_no_others():
    for accepts in (None, MAX_LISTED):
        remote = Remote(["web", "ssh"], withdrawn=["web", "ssh"], accepts=accepts)
        assert (remote.hello, remote.listing.hello.is_complete) == (["web", "ssh"], False)
        # An older remote grants them until the list arrives that follows.
        remote.welcome(*([] if accepts else ["web", "ssh"]))
        assert remote.events == []
        assert remote.asked() == []
        remote.answer()
        assert remote.granted() == [([], True)]


def test_a_change_since_the_hello_is_sent_after_the_welcome():
    remote = Remote(["web"])
    remote.listing.change(offer(["web", "ssh"]))
    assert remote.sent == []
    remote.offer = offer(["web", "ssh"])
    remote.welcome("web")
    assert remote.asked() == ["web", "ssh"]
    assert remote.granted() == []


def test_a_list_that_comes_between_the_welcome_and_the_report_counts():
    remote = Remote(["web", "ssh"])
    welcome = Welcome(
        proof="", instance="", hold=1.0, services=[Service(name="web")], max_services=MAX_LISTED
    )
    remote.listing.welcomed(welcome, PEER)
    remote.answer("web", "ssh")
    remote.listing.open(remote.offer)
    assert remote.granted() == [(["web", "ssh"], True)]
