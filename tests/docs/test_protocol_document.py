"""Compares the examples in docs/reference/protocol.md with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import CLIENT_WAIT, LINK_PORT, RemoteSettings
from quictunnel.config.urls import WEBSOCKET_PATH
from quictunnel.origin.backoff import (
    FIRST_DELAY,
    JITTER,
    MAX_DELAY,
    MAX_REFUSED_DELAY,
    MAX_SHORT_DELAY,
    MAX_SHORT_RETRIES,
    REFUSED_DELAY,
    STEADY_REFUSALS,
)
from quictunnel.origin.link_dialing import WEBSOCKET_DELAY
from quictunnel.origin.session import FINAL_CODES
from quictunnel.protocol.address import Address
from quictunnel.protocol.client_hello import MAX_CLIENT_HELLO
from quictunnel.protocol.codes import ALPN, Code
from quictunnel.protocol.messages import (
    MAX_MESSAGE,
    MAX_PARTS,
    MAX_SERVICES,
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    RefusedService,
    Service,
    Services,
    Welcome,
    encode,
)
from quictunnel.protocol.preamble import Preamble, PreambleDecoder, encode_v2
from quictunnel.protocol.proof import check, prove
from quictunnel.protocol.proxy_v2 import MAX_BLOCK
from quictunnel.protocol.service_list import MAX_LISTED, split_list
from quictunnel.quic import limits
from quictunnel.quic.engines.aioquic.resets import Resets
from quictunnel.quic.engines.aioquic.tls import derive_exporter
from quictunnel.quic.path import (
    carried_addresses,
    datagram_queue,
    fallback,
    loss_meter,
    path_opening,
    probe_record,
    return_policy,
    websocket_path,
)
from quictunnel.quic.path.liveness import (
    ACCEPTOR_PATIENCE,
    BUSY_PATIENCE,
    CONFIRMATION_ANSWER,
    CONFIRMATION_INTERVAL,
    CONFIRMATION_PINGS,
    LATE_PACKETS,
    PING_AFTER,
    PING_WHEN_BUSY_AFTER,
    SUSPICION_INTERVAL,
)
from quictunnel.quic.path.retired_sockets import KEPT_FOR
from quictunnel.quic.path.version_probe import MIN_PROBE_SIZE
from quictunnel.quic.path.websocket_frames import (
    MAX_DATAGRAM,
    POLICY_VIOLATION,
    PROTOCOL_VIOLATION,
    TOO_BIG,
    UNSUPPORTED_DATA,
    FrameEncoder,
    FrameParser,
)
from quictunnel.quic.path.websocket_handshake import MAX_HEAD
from quictunnel.remote.host_routes import MAX_FREE_NAMES, HostRoutes
from quictunnel.remote.pending_client import NAME_TIMEOUT
from quictunnel.remote.registry import Identity
from quictunnel.remote.routes import MAX_PORTS, MAX_REMEMBERED
from quictunnel.remote.websocket_connection import OPENING_TIMEOUT, PROOF_TIMEOUT
from quictunnel.remote.websocket_limits import (
    MAX_CONNECTIONS,
    MAX_OPENING_BEHIND_PROXIES,
    MAX_UNPROVEN,
    UNPROVEN_BYTES,
)

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "protocol.md").read_text("utf-8")

PROSE = " ".join(PAGE.split())
"""The same, wherever its lines break."""

FENCED = re.compile(r"<!-- vector: ([^>]+?) -->\n```\w+\n(.*?)```", re.DOTALL)
VECTORS = dict(FENCED.findall(PAGE))


def text(name: str) -> str:
    return VECTORS[name].strip()


def octets(name: str) -> bytes:
    """Return the bytes of a block of hex; a # begins a remark."""
    lines = (line.partition("#")[0] for line in VECTORS[name].splitlines())
    return bytes.fromhex(" ".join(lines))


def read(name: str):
    body = text(name).encode()
    (message,) = MessageDecoder().feed(len(body).to_bytes(4, "big") + body)
    return message


def code_rows() -> list[list[str]]:
    table = PAGE.split("<!-- vector: codes -->\n")[1].split("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def test_the_exporter_comes_from_the_master_secret():
    schedule = SimpleNamespace(
        algorithm=hashes.SHA256(), derive_secret=lambda label: octets("exporter master secret")
    )
    assert derive_exporter(SimpleNamespace(key_schedule=schedule)) == octets("exporter")


@pytest.mark.parametrize("role", ["origin", "remote"])
def test_the_proofs_are_those_of_the_secret_and_the_exporter(role):
    assert prove(text("secret"), role, octets("exporter")) == text(f"proof of the {role}")


def test_the_token_of_a_stateless_reset_is_that_of_the_key():
    token = Resets(octets("reset key")).token(bytes.fromhex("8394c8f03e515708"))
    assert token == octets("reset token")


def test_the_greeting_proves_both_ends():
    hello, welcome = read("hello"), read("welcome")
    assert isinstance(hello, Hello)
    assert isinstance(welcome, Welcome)
    assert check(text("secret"), "origin", octets("exporter"), hello.proof)
    assert check(text("secret"), "remote", octets("exporter"), welcome.proof)


def test_a_refusal_may_be_proven():
    assert read("refused").proof == ""
    refused = read("refused with a proof")
    assert isinstance(refused, RefusedMessage)
    assert refused.code == Code.SERVICE_TAKEN
    assert check(text("secret"), "remote", octets("exporter"), refused.proof)


@pytest.mark.parametrize(
    "name", ["hello", "welcome", "refused", "refused with a proof", "services"]
)
def test_the_messages_have_every_member_that_ours_have(name):
    message = read(name)
    ours = json.loads(encode(message)[4:])
    shown = json.loads(text(name))
    for services in (ours.get("services", []), shown.get("services", [])):
        for service in services:
            service.setdefault("address", None)  # the page says that it may be left out
    assert shown == ours


@pytest.mark.parametrize(
    "name",
    [
        "hello with two services",
        "welcome with a refused service",
        "services with host names",
        "granted host names",
    ],
)
def test_the_messages_about_several_services_are_right_to_the_byte(name):
    assert encode(read(name))[4:].decode() == text(name)


def test_each_of_two_services_is_granted_or_refused():
    hello, welcome = read("hello with two services"), read("welcome with a refused service")
    assert check(text("secret"), "origin", octets("exporter"), hello.proof)
    assert check(text("secret"), "remote", octets("exporter"), welcome.proof)
    port, ports = hello.services
    assert port == Service(name="2222", port=2222)
    assert ports == Service(name="50000-50100", ports="50000-50100")
    assert welcome.services == [Service(name=ports.name, address=f"[::]:{ports.ports}")]
    (refused,) = welcome.refused
    assert isinstance(refused, RefusedService)
    assert (refused.name, refused.code) == (port.name, Code.NOT_ALLOWED)


def test_host_names_are_granted_with_the_ports_of_their_listeners():
    settings = RemoteSettings(
        tls=HostPort("::", 443), http=HostPort("::", 80), hosts=("*.example.com",)
    )
    routes = HostRoutes(settings, lambda *_: None, lambda _: set())
    for protocol, port in (("tls", 443), ("http", 80)):
        routes.add_place(SimpleNamespace(protocol=protocol, port=port))
    origin = Identity("t", "laptop")
    granted = [
        Service(name=service.name, address=routes.obtain(origin, service).address)
        for service in read("services with host names").services
    ]
    assert granted == read("granted host names").services


def test_a_refusal_carries_a_code_of_the_table():
    message = read("refused")
    assert isinstance(message, RefusedMessage)
    assert message.code == Code.BAD_TOKEN


def test_a_list_of_services_names_addresses():
    assert read("services") == Services(
        services=[Service(name="default", address="203.0.113.7:9000")]
    )


def test_a_part_of_a_list_is_right_to_the_byte():
    part = read("part of a list")
    assert encode(part)[4:].decode() == text("part of a list")
    *_, last = split_list([Service(name=f"s{n}", port=2000 + n) for n in range(1000)])
    assert (part.part, part.parts) == (last.part, last.parts)
    assert part.services == last.services[-2:]


def test_a_welcome_says_how_many_services_an_origin_may_have():
    assert read("welcome").max_services == MAX_LISTED


def test_the_goodbye_is_right_to_the_byte():
    goodbye = Goodbye(reason="the remote is shutting down", grace=30.0)
    assert encode(goodbye) == octets("goodbye")


@pytest.mark.parametrize(
    ("name", "client", "outside"),
    [
        ("preamble", Address("192.0.2.44", 51334), Address("203.0.113.7", 9000)),
        ("preamble over IPv6", Address("2001:db8::44", 51334), Address("2001:db8::7", 9000)),
        ("preamble without addresses", None, None),
    ],
)
def test_the_preambles_are_right_to_the_byte(name, client, outside):
    preamble = Preamble(
        client=client, outside=outside, service="default", client_id="cc642b5969b2a79e"
    )
    assert encode_v2(preamble) == octets(name)
    assert PreambleDecoder().feed(octets(name) + b"GET /") == (preamble, b"GET /")


DATAGRAM = bytes.fromhex("4001020304")


def test_a_message_of_the_remote_is_right_to_the_byte():
    frame = octets("message of the remote")
    assert FrameEncoder(masks=False).datagrams([DATAGRAM]) == frame
    assert FrameParser(masked=False).feed(frame) == [DATAGRAM]


def test_a_message_of_the_origin_is_right_to_the_byte(monkeypatch):
    frame = octets("message of the origin")
    monkeypatch.setattr("os.urandom", lambda size: frame[2:6])
    assert FrameEncoder(masks=True).datagrams([DATAGRAM]) == frame
    assert FrameParser(masked=True).feed(frame) == [DATAGRAM]


def test_the_table_of_codes_is_the_whole_of_them():
    assert {(int(row[0], 16), row[1].strip("`")) for row in code_rows()} == {
        (code.value, code.name) for code in Code
    }


def test_the_table_of_codes_has_the_words_of_our_logs():
    for row in code_rows():
        assert row[4].removesuffix("; *final*") == Code(int(row[0], 16)).word


def test_the_codes_marked_final_are_those_after_which_an_origin_gives_up():
    final = {int(row[0], 16) for row in code_rows() if "*final*" in row[4]}
    assert final == {int(code) for code in FINAL_CODES}


def test_no_other_code_is_named_with_a_wrong_number():
    named = re.findall(r"`([A-Z_]{5,})` \(?(0x[0-9a-f]{2})", PROSE)
    assert len(named) > 20
    for name, number in named:
        assert Code[name] == int(number, 16)


def test_the_table_of_limits_is_the_whole_of_them():
    table = PAGE.split("<!-- limits -->\n")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    shown = {name.strip("`"): float(value.split()[0].replace(",", "")) for name, value, _ in rows}
    assert shown == {name: value for name, value in vars(limits).items() if name.isupper()}


@pytest.mark.parametrize(
    "fact",
    [
        f"`{ALPN}`",
        f"**{LINK_PORT}**",
        f"at most {MAX_MESSAGE:,}",
        f"at most {MAX_SERVICES} entries",
        f"| services of one origin | {MAX_LISTED}, listed in at most {MAX_PARTS} parts |",
        f"at most {MAX_LISTED} services and",
        f"number from 1 to {MAX_PARTS}, or null",
        f"at most {MAX_BLOCK} ",
        f"| {MAX_PORTS}; when more are open",
        f"remembers for services | {MAX_REMEMBERED} |",
        f"stays open | {CLIENT_WAIT:.0f} s |",
        f"are still known | {MAX_FREE_NAMES} |",
        f"sends **{CONFIRMATION_PINGS}** pings, **{CONFIRMATION_INTERVAL:g} s** apart",
        f"at most once in **{SUSPICION_INTERVAL:g} s**.",
        f"within **{CONFIRMATION_ANSWER:g} s** of the last ping",
        f"arrive within **{LATE_PACKETS:g} s** of the message do not count",
        f"open for **{KEPT_FOR:g} s**",
        f"The remote does so after {PING_AFTER + ACCEPTOR_PATIENCE:g} s, or "
        f"{PING_WHEN_BUSY_AFTER + BUSY_PATIENCE:g} s with clients",
        f"name its host | {MAX_CLIENT_HELLO // 1024} KiB, within {NAME_TIMEOUT:.0f} s |",
        f"it waits **{REFUSED_DELAY:.0f} s**, and after {STEADY_REFUSALS} such answers",
        f"doubling up to **{MAX_REFUSED_DELAY / 60:.0f} min**",
        f"waits {FIRST_DELAY:g} s, doubling up to {MAX_DELAY:.0f} s, each wait shortened by up to "
        f"{JITTER:.0%}".replace("%", " %"),
        f"at most {MAX_SHORT_DELAY:g} s between the first {MAX_SHORT_RETRIES} attempts",
        f"`wss://HOST{WEBSOCKET_PATH}`",
        f"at most **{MAX_HEAD // 1024} KiB**",
        f"at most **{MAX_DATAGRAM}** bytes",
        f"longer (close code {TOO_BIG}), fragmented or text ({UNSUPPORTED_DATA}), or breaks "
        f"RFC 6455 ({PROTOCOL_VIOLATION})",
        f"sends a Ping after **{websocket_path.PING_INTERVAL:g} s** without data",
        f"waited for **{datagram_queue.MAX_AGE * 1000:g} ms**, except that "
        f"{datagram_queue.MIN_BYTES // 1024} KiB may always wait and never more than "
        f"{datagram_queue.MAX_BYTES >> 20} MiB.",
        f"`TCP_NOTSENT_LOWAT` (here {websocket_path.UNSENT_BYTES // 1024} KiB)",
        f"sent nothing for **{websocket_path.STALL_TIMEOUT:g} s**",
        f"uses `{carried_addresses.DIALED_HOST}`",
        f"opens the WebSocket **{WEBSOCKET_DELAY * 1000:g} ms** later",
        f"at least **{loss_meter.LOST_SHARE:.0%}** of at least **{loss_meter.MIN_PACKETS}** "
        f"packets were lost within **{loss_meter.WINDOW:g} s**".replace("%", " %"),
        f"does not answer within **{fallback.ANSWER_TIMEOUT:g} s** of the move",
        "{:g} s, {:g} s, {:g} s, {:g} s and every {:g} s.".format(*path_opening.RETRY_DELAYS),
        f"in a datagram of {MIN_PROBE_SIZE} bytes",
        f"| unproven connections of one source | {limits.SOURCE_UNPROVEN_LINKS};",
        f"| connections in total | {MAX_CONNECTIONS:,} |",
        f"| unproven connections | {MAX_UNPROVEN} |",
        f"whose request has not come | {MAX_OPENING_BEHIND_PROXIES} |",
        f"| TLS and the opening request | {OPENING_TIMEOUT:g} s |",
        f"| a proven link after that | {PROOF_TIMEOUT:g} s |",
        f"that an unproven connection sends | {UNPROVEN_BYTES // 1024} KiB; above that, the close "
        f"code is {POLICY_VIOLATION}",
        f"one every **{probe_record.FIRST_INTERVAL:g} s** in the first ten minutes, later every "
        f"{probe_record.LATER_INTERVAL:g} s, doubling up to "
        f"{probe_record.MAX_INTERVAL / 60:g} min, and every "
        f"**{probe_record.ANSWERED_INTERVAL:g} s** while they are answered",
        f"steadily for **{return_policy.STEADY_TIME:g} s**",
        f"within **{return_policy.RETURN_TRIAL:g} s** of the return, and the last answer over UDP "
        f"came within **{return_policy.RETURN_PROOF:g} s** of it",
        f"as many seconds, up to {return_policy.MAX_STEADY_TIME / 60:g} min, until",
        f"at most **{return_policy.RETURN_BURST}** returns in a row, and one more each "
        f"**{return_policy.RETURN_INTERVAL:g} s**",
    ],
)
def test_the_numbers_in_the_text_are_the_codes_own(fact):
    assert fact in PROSE


def test_every_vector_of_the_page_is_looked_at_here():
    assert set(VECTORS) == {
        "hello",
        "hello with two services",
        "welcome",
        "services with host names",
        "granted host names",
        "welcome with a refused service",
        "refused",
        "refused with a proof",
        "services",
        "part of a list",
        "goodbye",
        "secret",
        "exporter",
        "exporter master secret",
        "proof of the origin",
        "proof of the remote",
        "reset key",
        "reset token",
        "preamble",
        "preamble over IPv6",
        "preamble without addresses",
        "message of the remote",
        "message of the origin",
    }
