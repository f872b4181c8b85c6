"""Every private name of aioquic that the engine uses, held against the installed version.

When a new aioquic changes one, the test of that name fails, before a link behaves oddly. A test
reads the engine's source for names that are not listed yet.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from aioquic import tls
from aioquic.quic import connection, packet, packet_builder, recovery, stream
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic_attributes import ATTRIBUTES
from aioquic_names import METHODS, OVERRIDES
from pair import Pair

import quictunnel.quic.engines.aioquic as package

SOURCES = sorted(Path(package.__file__).parent.glob("*.py"))
PROJECT = Path(__file__).parents[4] / "pyproject.toml"


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.fixture(scope="module")
def objects() -> dict[str, object]:
    """aioquic's own objects, as its own code makes them, but for those that a handshake makes."""
    plain = QuicConnection(configuration=QuicConfiguration(is_client=True))
    plain.connect(("192.0.2.1", 1), now=0.0)
    engine = Pair.trusting().client.engine
    own_stream = QuicStream(stream_id=0)
    builder = QuicPacketBuilder(
        host_cid=b"", peer_cid=b"", version=1, is_client=True, max_datagram_size=1200
    )
    builder.start_packet(packet.QuicPacketType.ONE_RTT, engine._cryptos[tls.Epoch.ONE_RTT])
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
        "crypto": engine._cryptos[tls.Epoch.ONE_RTT],
        "space": QuicPacketSpace(),
        "builder": builder,
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
    [
        pytest.param(o, n, id=f"{o.__name__}.{n}")
        for o, names in OVERRIDES.items()
        for n in sorted(names)
    ],
)
def test_an_override_takes_what_aioquic_passes(ours: type, name: str) -> None:
    base = next(base for base in theirs(ours) if hasattr(base, name))
    mine = parameters(getattr(ours, name))
    rest = mine.index("arguments") if "arguments" in mine else len(mine)
    assert set(mine[:rest]) <= set(parameters(getattr(base, name))) | {"size"}
    assert rest < len(mine) or mine[: len(parameters(getattr(base, name)))] == parameters(
        getattr(base, name)
    )


def theirs(ours: type) -> list[type]:
    return [base for base in ours.__mro__ if base.__module__.startswith("aioquic")]


def test_each_private_name_that_is_touched_is_listed_or_ours(objects: dict[str, object]) -> None:
    """A name that fails here is new in the engine (list it), or in aioquic (rename ours)."""
    named = {name for names in (*ATTRIBUTES.values(), *METHODS.values()) for name in names}
    ours = {node.attr for node in private_names() if node.attr not in named}
    for owner in ("connection", "stream", "sender", "receiver", "recovery", "builder"):
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


def test_a_receive_context_has_the_fields_that_we_give_it() -> None:
    assert list(connection.QuicReceiveContext.__dataclass_fields__) == [
        "epoch",
        "host_cid",
        "network_path",
        "quic_logger_frames",
        "time",
        "version",
    ]


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


def test_acknowledgements_that_skip_are_limited() -> None:
    """The walk over packets in flight is short because ranges are few."""
    assert recovery.MAX_ACK_RANGES <= 64


def test_a_reset_frame_is_written_from_what_was_sent() -> None:
    sender = stream.QuicStreamSender(0, writable=True)
    sender.write(b"never sent")
    sender.reset(1)
    assert sender.get_reset_frame().final_size == 0


def test_aioquic_walks_its_tables_of_streams_where_we_think() -> None:
    """They are empty, so a walk costs nothing, and no stream is missed."""
    source = inspect.getsource(QuicConnection)
    walks = re.findall(r"in (self\._streams\w*(?:\.\w+\(\))?)", source)
    assert sorted(set(walks)) == ["self._streams", "self._streams.values()", "self._streams_queue"]
    within = inspect.getsource(QuicConnection._write_application)
    assert within.count("in self._streams") == len(walks) - 1  # the other: is it discarded?
    assert "not in self._streams" in inspect.getsource(QuicConnection._stream_is_discarded)


def test_the_only_subclass_of_the_connection() -> None:
    assert [cls.__name__ for cls in ours_of(QuicConnection)] == ["AioquicEngine"]


def ours_of(base: type) -> list[type]:
    return [cls for cls in base.__subclasses__() if cls.__module__.startswith("quictunnel")]


def test_frame_handlers_are_a_table_by_type_with_epochs() -> None:
    plain = QuicConnection(configuration=QuicConfiguration(is_client=True))
    handlers = plain._QuicConnection__frame_handlers
    assert {int(kind) for kind in packet.QuicFrameType} <= set(handlers)
    for handle, epochs in handlers.values():
        assert parameters(handle) == ["context", "frame_type", "buf"]
        assert epochs <= set(tls.Epoch)


def test_a_packets_frames_are_read_in_one_place_with_the_limits() -> None:
    """aioquic's own loop, which has no limits, is not reached another way."""
    source = inspect.getsource(QuicConnection)
    assert source.count("__frame_handlers") == 2  # the table, and the loop that we replace
    assert source.count("_payload_received(") == 2  # the loop, and its only call


def test_ranges_are_a_list() -> None:
    assert RangeSet([range(3)])._RangeSet__ranges == [range(3)]
