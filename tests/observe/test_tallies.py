"""Tallies count events by names and words, and their number of names is bounded."""

from __future__ import annotations

from functools import partial

import pytest

from quictunnel import events
from quictunnel.events import ClientEnding, DropKind, LinkEnding, RefusalKind
from quictunnel.observe import tallies as module
from quictunnel.observe.tallies import HELLO_TIMEOUT, OTHER, Tallies

CLIENT = "192.0.2.7:40000"
ORIGIN = ("box", "2fdf26f2")
PEER = "198.51.100.1:9000"


@pytest.fixture
def tallies():
    return Tallies()


def closed(service="web", ending=ClientEnding.EOF, **fields):
    values = {"bytes_up": 10, "bytes_down": 200, "duration": 1.0, "reason": "words"} | fields
    return events.ClientClosed(client=CLIENT, service=service, id="1", ending=ending, **values)


def test_clients_by_service_and_ending(tallies):
    tallies(events.ClientAccepted(CLIENT, "web", "1"))
    tallies(closed())
    tallies(closed(ending=ClientEnding.RESET_BY_CLIENT))
    tallies(closed())
    tallies(events.ClientMoved(CLIENT, "web", "2", "box"))
    web = tallies.services["web"]
    assert (web.accepted, web.moved, web.bytes_up, web.bytes_down) == (1, 1, 30, 600)
    assert web.closed == {"eof": 2, "reset-by-client": 1}


def test_times_of_a_client_are_counted_if_they_are_known(tallies):
    tallies(closed(first_byte=0.02, connect_time=0.002))
    tallies(closed())
    web = tallies.services["web"]
    assert (web.first_byte.count, web.first_byte.sum) == (1, 0.02)
    assert (web.connect_time.count, web.connect_time.sum) == (1, 0.002)


def test_names_beyond_the_limit_share_one_tally(tallies, monkeypatch):
    monkeypatch.setattr(module, "MAX_NAMES", 2)
    for name in ("a", "b", "c", "d", "a", "c"):
        tallies(events.ClientAccepted(CLIENT, name, None))
        tallies(silent(origin=name))
    accepted = {name: tally.accepted for name, tally in tallies.services.items()}
    silences = {name: tally.silences for name, tally in tallies.origins.items()}
    assert accepted == silences == {"a": 2, "b": 1, OTHER: 3}


def test_times_beyond_their_limit_share_one_histogram(tallies, monkeypatch):
    monkeypatch.setattr(module, "MAX_TIMED", 2)
    for name in ("a", "b", "c", "d"):
        tallies(closed(name, first_byte=0.1))
    assert tallies.services["a"].first_byte.count == 1
    assert tallies.services["c"].first_byte is tallies.other_first_byte
    assert tallies.other_first_byte.count == 2


def test_a_service_may_have_the_name_of_the_others(tallies, monkeypatch):
    monkeypatch.setattr(module, "MAX_NAMES", 2)
    tallies(closed(OTHER, first_byte=0.1))
    for name in ("a", "b", "c"):
        tallies(closed(name, first_byte=0.1))
    assert tallies.services.keys() == {OTHER, "a"}
    assert tallies.services[OTHER].first_byte is tallies.other_first_byte
    assert tallies.other_first_byte.count == 3


def silent(*, origin="box", is_reminder=False):
    return events.LinkSilent(origin, None, PEER, 5.0, 3, 900.0, is_reminder, link="link")


def test_a_silence_counts_once_and_its_seconds_when_it_ends(tallies):
    tallies(silent())
    tallies(silent(is_reminder=True))
    box = tallies.origins["box"]
    assert (box.silences, box.silence_seconds) == (1, 0)
    tallies(events.LinkRecovered(*ORIGIN, PEER, None, 65.5, 3, link="link"))
    assert (box.silence_seconds, box.kept_by_silences, box.moves) == (65.5, 3, 0)


def test_a_recovery_at_another_address_is_a_move_too(tallies):
    tallies(events.LinkRecovered(*ORIGIN, PEER, "203.0.113.1:9000", 4.0, 2, link="link"))
    box = tallies.origins["box"]
    assert (box.moves, box.kept_by_silences, box.kept_by_moves) == (1, 2, 0)


def test_a_move_without_a_silence_keeps_streams(tallies):
    tallies(events.LinkMoved(*ORIGIN, PEER, "203.0.113.1:9000", 2, link="link"))
    box = tallies.origins["box"]
    assert (box.moves, box.kept_by_silences, box.kept_by_moves) == (1, 0, 2)


def test_moves_between_kinds_of_paths_are_counted_by_path_and_reason(tallies):
    kinds = {"path": events.PathKind.WEBSOCKET, "previous_path": events.PathKind.UDP}
    moved = partial(events.LinkMoved, *ORIGIN, PEER, None, 2, link="link", **kinds)
    tallies(moved(path_reason=events.PathReason.UDP_THROTTLED))
    tallies(moved(path_reason="a phrase of another version"))
    tallies(moved())
    tallies(events.LinkMoved(*ORIGIN, PEER, "203.0.113.1:9000", 2, link="link"))
    recovered = partial(events.LinkRecovered, *ORIGIN, PEER, None, 4.0, 2, link="link", **kinds)
    tallies(recovered(path_reason=events.PathReason.UDP_SILENT))
    assert tallies.path_moves == {
        ("websocket", "udp-throttled"): 1,
        ("websocket", "other"): 1,
        ("websocket", "unknown"): 1,
        ("websocket", "udp-silent"): 1,
    }
    assert tallies.origins["box"].moves == 5


def test_results_of_probes_are_counted(tallies):
    for kind in ("answered", "unanswered", "answered"):
        tallies(events.UdpProbeChanged(PEER, events.UdpProbeKind(kind), "words"))
    assert tallies.udp_probes == {"answered": 2, "unanswered": 1}


@pytest.mark.parametrize(("silent_for", "seconds"), [(None, 0), (900.0, 900.0)])
def test_a_lost_link_ends_its_silence(tallies, silent_for, seconds):
    tallies(
        events.LinkDropped(*ORIGIN, PEER, "words", silent_for, kind=LinkEnding.LOST, link="link")
    )
    box = tallies.origins["box"]
    assert (box.lost, box.silence_seconds) == (1, seconds)


def proof_failed(text):
    return events.ProofFailed(
        text,
        text,
        text,
        text,
        failures_from_source=2,
        failures_total=2,
        kind=RefusalKind.BAD_TOKEN,
        suppressed=1,
    )


def test_failures_by_kind_with_those_that_were_suppressed(tallies):
    reason, policy, timeout = "words", ClientEnding.POLICY, DropKind.TIMEOUT
    tallies(events.ClientRejected(CLIENT, reason, kind=policy))
    tallies(events.ClientRejected(CLIENT, reason, kind=policy, suppressed=41))
    tallies(proof_failed(reason))
    tallies(events.OriginRejected(*ORIGIN, PEER, reason, kind=RefusalKind.SERVICE_TAKEN))
    tallies(events.PeerDropped("198.51.100.1", reason, kind=timeout, suppressed=9))
    tallies(events.HelloTimedOut(PEER, suppressed=4))
    assert tallies.rejected_clients == {"policy": 43}
    assert tallies.failed_proofs == {"bad-token": 2}
    assert tallies.rejected_origins == {"service-taken": 1}
    assert tallies.failed_handshakes == {"timeout": 10, HELLO_TIMEOUT: 5}


def test_refused_services_count_at_both_ends(tallies):
    tallies(events.ServiceRefused(*ORIGIN, PEER, "web", "words", kind=RefusalKind.NOT_ALLOWED))
    tallies(events.ServiceNotGranted(PEER, "web", "words", kind=RefusalKind.NOT_ALLOWED))
    assert tallies.refused_services == {"not-allowed": 2}


def test_failed_connections_to_origin_servers(tallies):
    kind = ClientEnding.SERVER_REFUSED
    failure = events.ConnectFailed("target", "words", "words", id=None, kind=kind, suppressed=2)
    tallies(failure)
    assert tallies.failed_connects == {"server-refused": 3}


def test_ends_of_links_at_the_remote(tallies):
    kind = LinkEnding.GOODBYE
    tallies(events.OriginDisconnected(*ORIGIN, PEER, 60.0, "words", kind=kind, link="1"))
    assert tallies.ended_links == {"goodbye": 1}


def test_links_of_the_origin_and_restarts_of_the_remote(tallies):
    tallies(events.LinkEstablished(PEER, 0.02, 900.0, False, link="1"))
    tallies(events.LinkEstablished(PEER, 0.02, 900.0, True, link="2"))
    assert tallies.counts[events.LinkEstablished] == 2
    assert tallies.remote_restarts == 1


def test_a_withdrawn_service(tallies):
    tallies(events.ServiceUnhealthy("web", "words"))
    assert tallies.services["web"].unhealthy == 1


def test_the_certificate_in_use_is_the_last_one(tallies):
    assert tallies.certificate_expires is None
    tallies(events.CertificateLoaded("cert.pem", "sha256:00", "1970-01-02T00:00:00+00:00"))
    tallies(events.CertificateRenewed("cert.pem", "sha256:01", "1970-01-03T00:00:00+00:00"))
    assert tallies.certificate_expires == 2 * 86400


def test_other_events_count_by_type(tallies):
    tallies(events.AcceptPaused("too many open files", suppressed=4))
    tallies(events.ProtocolViolated(PEER, "words"))
    tallies(events.ProtocolViolated(PEER, "words"))
    assert tallies.counts[events.AcceptPaused] == 5
    assert tallies.counts[events.ProtocolViolated] == 2


def test_no_text_of_a_peer_is_kept(tallies):
    secret = "text-of-a-peer"
    tallies(closed(reason=secret))
    tallies(events.ClientRejected(secret, secret, kind=ClientEnding.MALFORMED))
    tallies(proof_failed(secret))
    tallies(events.UnknownServiceRequested(secret, secret, secret))
    tallies(events.ProtocolViolated(secret, secret))
    kept = [repr(value) for value in vars(tallies).values()]
    assert not any(secret in text for text in kept)
    assert not any(secret in name for name in tallies.services)
