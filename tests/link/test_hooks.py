"""Every private name of aioquic that the engine touches, held against the installed version.

When a new aioquic changes one, a test fails here by that name, before anything odd happens on a
link. Names that the engine comes to use must be added: a test reads its source for them.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import tomllib
from collections import deque
from pathlib import Path

import pytest
from aioquic import tls
from aioquic.quic import connection, events, packet_builder, recovery, stream
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender
from pair import Pair

import quictunnel.link.aioquic_engine as package
from quictunnel.link.aioquic_engine.connection import AioquicEngine
from quictunnel.link.aioquic_engine.recovery import Pacer, Recovery
from quictunnel.link.aioquic_engine.sending import SendingConnection
from quictunnel.link.aioquic_engine.streams import Receiver, Sender, StreamState

SOURCES = sorted(Path(package.__file__).parent.glob("*.py"))
PROJECT = Path(__file__).parents[2] / "pyproject.toml"

METHODS: dict[type, dict[str, str]] = {
    QuicConnection: {
        "__init__": "configuration original_destination_connection_id retry_source_connection_id "
        "session_ticket_fetcher session_ticket_handler token_handler",
        "close": "error_code frame_type reason_phrase",
        "connect": "addr now",
        "datagrams_to_send": "now",
        "get_peer_address": "",
        "get_timer": "",
        "handle_timer": "now",
        "next_event": "",
        "receive_datagram": "data addr now",
        "send_ping": "uid",
        "_idle_timeout": "",
        "_get_or_create_stream": "frame_type stream_id",
        "_handle_max_data_frame": "context frame_type buf",
        "_handle_max_stream_data_frame": "context frame_type buf",
        "_on_connection_limit_delivery": "delivery limit",
        "_send_probe": "",
        "_unblock_streams": "is_unidirectional",
        "_update_traffic_key": "direction epoch cipher_suite secret",
        "_write_ack_frame": "builder space now",
        "_write_application": "builder network_path now",
        "_write_connection_limits": "builder space",
        "_write_crypto_frame": "builder space stream",
        "_write_handshake_done_frame": "builder",
        "_write_new_connection_id_frame": "builder connection_id",
        "_write_path_challenge_frame": "builder network_path",
        "_write_path_response_frame": "builder challenge",
        "_write_ping_frame": "builder uids comment",
        "_write_reset_stream_frame": "builder stream",
        "_write_retire_connection_id_frame": "builder sequence_number",
        "_write_stop_sending_frame": "builder stream",
        "_write_stream_frame": "builder space stream max_offset",
        "_write_streams_blocked_frame": "builder frame_type limit",
    },
    QuicStream: {
        "__init__": "stream_id max_stream_data_local max_stream_data_remote readable writable",
    },
    QuicStreamSender: {
        "__init__": "stream_id writable",
        "get_frame": "max_size max_offset",
        "on_data_delivery": "delivery start stop fin",
        "on_reset_delivery": "delivery",
        "reset": "error_code",
        "write": "data end_stream",
    },
    QuicStreamReceiver: {
        "__init__": "stream_id readable",
        "on_stop_sending_delivery": "delivery",
        "stop": "error_code",
    },
    QuicPacketRecovery: {
        "__init__": "congestion_control_algorithm initial_rtt max_datagram_size "
        "peer_completed_address_validation send_probe logger quic_logger",
        "get_probe_timeout": "include_max_ack_delay",
        "on_ack_received": "ack_rangeset ack_delay now space",
        "on_packet_sent": "packet space",
        "reschedule_data": "now speed_up_handshake",
        "_detect_loss": "now space",
    },
    QuicPacketPacer: {
        "__init__": "max_datagram_size",
        "next_send_time": "now",
        "update_after_send": "now",
        "update_rate": "congestion_window smoothed_rtt",
    },
    QuicPacketBuilder: {
        "__init__": "host_cid peer_cid version is_client max_datagram_size packet_number "
        "peer_token quic_logger spin_bit",
        "flush": "",
        "start_frame": "frame_type capacity handler handler_args",
        "start_packet": "packet_type crypto",
    },
}
"""Methods that are called or overridden, and their parameters."""

ATTRIBUTES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "connection": {
        "_close_at": (float, type(None)),
        "_close_event": (events.ConnectionTerminated, type(None)),
        "_configuration": QuicConfiguration,
        "_crypto_streams": dict,
        "_cryptos": dict,
        "_events": deque,
        "_handshake_complete": bool,
        "_handshake_confirmed": bool,
        "_handshake_done_pending": bool,
        "_host_cids": list,
        "_is_client": bool,
        "_local_max_data": connection.Limit,
        "_local_max_stream_data_bidi_remote": int,
        "_local_max_streams_bidi": connection.Limit,
        "_local_max_streams_uni": connection.Limit,
        "_local_next_stream_id_bidi": int,
        "_logger": object,
        "_loss": QuicPacketRecovery,
        "_max_datagram_size": int,
        "_network_paths": list,
        "_pacing_at": (float, type(None)),
        "_packet_number": int,
        "_peer_cid": connection.QuicConnectionId,
        "_ping_pending": list,
        "_probe_pending": bool,
        "_remote_max_data": int,
        "_remote_max_data_used": int,
        "_remote_max_stream_data_bidi_local": int,
        "_remote_max_stream_data_bidi_remote": int,
        "_remote_max_streams_bidi": int,
        "_retire_connection_ids": list,
        "_spaces": dict,
        "_spin_bit": bool,
        "_state": QuicConnectionState,
        "_streams": dict,
        "_streams_blocked_bidi": list,
        "_streams_blocked_pending": bool,
        "_streams_queue": list,
        "_version": int,
        "host_cid": bytes,
        "original_destination_connection_id": bytes,
        "tls": tls.Context,
    },
    "tls": {
        "_peer_certificate": object,
        "_peer_certificate_chain": (list, tuple),
        "key_schedule": tls.KeySchedule,
    },
    "path": {
        "addr": tuple,
        "is_validated": bool,
        "local_challenge_sent": bool,
        "remote_challenges": deque,
        "validation_deadline": (float, type(None)),
    },
    "limit": {"frame_type": int, "sent": int, "used": int, "value": int},
    "stream": {
        "is_blocked": bool,
        "is_finished": bool,
        "max_stream_data_local": int,
        "max_stream_data_local_sent": int,
        "max_stream_data_remote": int,
        "receiver": QuicStreamReceiver,
        "sender": QuicStreamSender,
        "stream_id": int,
    },
    "sender": {
        "_buffer": bytearray,
        "_buffer_stop": int,
        "_pending": RangeSet,
        "_pending_eof": bool,
        "_reset_error_code": (int, type(None)),
        "buffer_is_empty": bool,
        "highest_offset": int,
        "is_finished": bool,
        "next_offset": int,
        "reset_pending": bool,
    },
    "receiver": {"highest_offset": int, "is_finished": bool, "stop_pending": bool},
    "recovery": {
        "_cc": object,
        "_pacer": QuicPacketPacer,
        "_pto_count": int,
        "_rtt_first_sample_time": float,
        "_rtt_initialized": bool,
        "_rtt_latest": float,
        "_rtt_min": float,
        "_rtt_smoothed": float,
        "_rtt_variance": float,
        "_time_of_last_sent_ack_eliciting_packet": float,
        "_send_probe": object,
        "max_ack_delay": float,
        "peer_completed_address_validation": bool,
        "spaces": list,
    },
    "congestion": {"_max_datagram_size": int, "bytes_in_flight": int, "congestion_window": int},
    "space": {
        "ack_at": (float, type(None)),
        "ack_eliciting_in_flight": int,
        "largest_acked_packet": int,
        "largest_received_time": (float, type(None)),
        "sent_packets": dict,
    },
    "builder": {"_buffer": object, "packet_number": int},
}
"""Attributes that are read or set, by what they belong to, and their types."""

OVERRIDES: dict[type, set[str]] = {
    SendingConnection: {
        "_get_or_create_stream",
        "_handle_max_data_frame",
        "_handle_max_stream_data_frame",
        "_unblock_streams",
        "_write_application",
        "_write_connection_limits",
    },
    AioquicEngine: {"_update_traffic_key"},
    StreamState: set(),
    Sender: {"on_data_delivery", "on_reset_delivery", "reset"},
    Receiver: {"on_stop_sending_delivery", "stop"},
    Recovery: {"on_ack_received", "on_packet_sent"},
    Pacer: {"next_send_time", "update_after_send", "update_rate"},
}
"""What our classes mean to override, and nothing else."""


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.fixture(scope="module")
def objects() -> dict[str, object]:
    """aioquic's own objects, as its own code makes them, but for those that a handshake makes."""
    plain = QuicConnection(configuration=QuicConfiguration(is_client=True))
    plain.connect(("192.0.2.1", 1), now=0.0)
    engine = Pair.trusting().client.engine
    own_stream = QuicStream(stream_id=0)
    return {
        "connection": plain,
        "tls": engine.tls,
        "path": plain._network_paths[0],
        "limit": plain._local_max_data,
        "stream": own_stream,
        "sender": own_stream.sender,
        "receiver": own_stream.receiver,
        "recovery": plain._loss,
        "congestion": plain._loss._cc,
        "space": QuicPacketSpace(),
        "builder": QuicPacketBuilder(
            host_cid=b"", peer_cid=b"", version=1, is_client=True, max_datagram_size=1200
        ),
    }


def test_the_pinned_version_is_the_installed_one() -> None:
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    pins = [match[1] for line in dependencies if (match := re.match(r"aioquic==([\d.]+)$", line))]
    assert pins == [importlib.metadata.version("aioquic")]


@pytest.mark.parametrize(
    ("owner", "name"),
    [pytest.param(o, n, id=f"{o.__name__}.{n}") for o, names in METHODS.items() for n in names],
)
def test_a_method_takes_what_it_took(owner: type, name: str) -> None:
    assert parameters(getattr(owner, name)) == METHODS[owner][name].split()


@pytest.mark.parametrize(
    ("owner", "name"),
    [pytest.param(o, n, id=f"{o}.{n}") for o, names in ATTRIBUTES.items() for n in names],
)
def test_an_attribute_is_what_it_was(owner: str, name: str, objects: dict[str, object]) -> None:
    assert isinstance(getattr(objects[owner], name), ATTRIBUTES[owner][name])


@pytest.mark.parametrize("ours", OVERRIDES, ids=lambda cls: cls.__name__)
def test_a_class_overrides_what_it_means_to_and_no_more(ours: type) -> None:
    """A new aioquic may come to use a name that is ours."""
    found = {
        name
        for name in vars(ours)
        if not name.startswith("__") and any(hasattr(base, name) for base in theirs(ours))
    }
    assert found == OVERRIDES[ours]


@pytest.mark.parametrize(
    ("ours", "name"),
    [pytest.param(o, n, id=f"{o.__name__}.{n}") for o, names in OVERRIDES.items() for n in names],
)
def test_an_override_takes_what_aioquic_gives(ours: type, name: str) -> None:
    base = next(base for base in theirs(ours) if hasattr(base, name))
    mine = parameters(getattr(ours, name))
    assert mine[: len(parameters(getattr(base, name)))] == parameters(getattr(base, name))


def theirs(ours: type) -> list[type]:
    return [base for base in ours.__mro__ if base.__module__.startswith("aioquic")]


def test_each_private_name_that_is_touched_is_listed_or_ours(objects: dict[str, object]) -> None:
    """A name that fails here is new in the engine (list it), or in aioquic (rename ours)."""
    named = {name for names in (*ATTRIBUTES.values(), *METHODS.values()) for name in names}
    ours = {node.attr for node in private_names() if node.attr not in named}
    for owner in ("connection", "stream", "sender", "receiver", "recovery"):
        assert not {name for name in ours if hasattr(objects[owner], name)}, owner


def private_names() -> list[ast.Attribute]:
    """Return each use of a private attribute in the engine's source."""
    return [
        node
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
    ]


def test_private_names_are_touched_in_the_engine_only() -> None:
    link = SOURCES[0].parent.parent
    for source in link.glob("*.py"):
        assert "aioquic.quic" not in source.read_text(), source


# Names that are not attributes


@pytest.mark.parametrize(
    "name",
    [
        "CONNECTION_LIMIT_FRAME_CAPACITY",
        "END_STATES",
        "MAX_STREAM_DATA_FRAME_CAPACITY",
        "stream_is_client_initiated",
    ],
)
def test_a_name_of_the_connection_module_is_there(name: str) -> None:
    assert hasattr(connection, name)


def test_streams_ids_say_who_opened_them() -> None:
    assert connection.stream_is_client_initiated(0)
    assert not connection.stream_is_client_initiated(1)


def test_packets_in_flight_are_kept_in_the_order_they_were_sent_in() -> None:
    assert isinstance(QuicPacketSpace().sent_packets, dict)
    fields = QuicSentPacket.__dataclass_fields__
    assert {
        "delivery_handlers",
        "epoch",
        "in_flight",
        "is_ack_eliciting",
        "packet_number",
        "sent_bytes",
        "sent_time",
    } <= set(fields)


def test_a_packet_may_be_of_two_fates() -> None:
    assert [state.name for state in packet_builder.QuicDeliveryState] == ["ACKED", "LOST"]


def test_the_key_schedule_derives_secrets() -> None:
    assert parameters(tls.KeySchedule.derive_secret) == ["label"]
    assert parameters(tls.hkdf_expand_label) == [
        "algorithm",
        "secret",
        "label",
        "hash_value",
        "length",
    ]


def test_a_certificate_is_verified_against_files() -> None:
    assert parameters(tls.verify_certificate)[:2] == ["certificate", "chain"]
    assert {"server_name", "cafile", "capath"} <= set(parameters(tls.verify_certificate))


def test_acknowledgements_that_skip_are_limited() -> None:
    """The walk over packets in flight is short because ranges are few."""
    assert recovery.MAX_ACK_RANGES <= 64


def test_a_reset_frame_is_written_from_what_was_sent() -> None:
    sender = stream.QuicStreamSender(0, writable=True)
    sender.write(b"never sent")
    sender.reset(1)
    assert sender.get_reset_frame().final_size == 0
