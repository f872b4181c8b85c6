"""Names of aioquic that the engine uses: methods that it calls, and methods that it overrides.

Attributes are in `aioquic_attributes`. `test_hooks` holds both tables against the installed version
and against the engine's source.
"""

from __future__ import annotations

from aioquic.quic.connection import QuicConnection, QuicNetworkPath
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.logger import QuicLogger, QuicLoggerTrace
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

from quictunnel.quic.engines.aioquic.congestion import Pacer
from quictunnel.quic.engines.aioquic.connection import AioquicEngine
from quictunnel.quic.engines.aioquic.qlog import Recorder, Recording
from quictunnel.quic.engines.aioquic.recovery import Recovery
from quictunnel.quic.engines.aioquic.streams import (
    AioquicStream,
    HandshakeReceiver,
    Receiver,
    Sender,
)

METHODS: dict[type, dict[str, str]] = {
    QuicConnection: {
        "__init__": "configuration original_destination_connection_id retry_source_connection_id "
        "session_ticket_fetcher session_ticket_handler token_handler",
        "change_connection_id": "",
        "close": "error_code frame_type reason_phrase",
        "connect": "addr now",
        "datagrams_to_send": "now",
        "get_peer_address": "",
        "get_timer": "",
        "handle_timer": "now",
        "next_event": "",
        "receive_datagram": "data addr now",
        "send_ping": "uid",
        "_close_begin": "is_initiator now",
        "_confirm_handshake": "",
        "_flush_builder": "builder network_path peer_cid now",
        "_get_or_create_stream": "frame_type stream_id",
        "_handle_max_data_frame": "context frame_type buf",
        "_handle_max_stream_data_frame": "context frame_type buf",
        "_idle_timeout": "",
        "_initialize": "peer_cid",
        "_on_ack_delivery": "delivery space highest_acked",
        "_on_connection_limit_delivery": "delivery limit",
        "_on_ping_delivery": "delivery uids",
        "_payload_received": "context plain crypto_frame_required",
        "_replenish_connection_ids": "",
        "_send_probe": "",
        "_set_state": "state",
        "_unblock_streams": "is_unidirectional",
        "_update_traffic_key": "direction epoch cipher_suite secret",
        "_write_ack_frame": "builder space now",
        "_write_application": "builder network_path now",
        "_write_connection_limits": "builder space",
        "_write_reset_stream_frame": "builder stream",
        "_write_stop_sending_frame": "builder stream",
        "_write_stream_frame": "builder space stream max_offset",
    },
    QuicNetworkPath: {"can_send": "size"},
    QuicStream: {
        "__init__": "stream_id max_stream_data_local max_stream_data_remote readable writable",
    },
    QuicStreamSender: {
        "__init__": "stream_id writable",
        "on_data_delivery": "delivery start stop fin",
        "on_reset_delivery": "delivery",
        "reset": "error_code",
        "write": "data end_stream",
    },
    QuicStreamReceiver: {
        "__init__": "stream_id readable",
        "handle_frame": "frame",
        "on_stop_sending_delivery": "delivery",
        "starting_offset": "",
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
        "_in_persistent_congestion": "packets",
        "_on_packets_lost": "congestion_event now packets persistent_congestion space",
    },
    QuicPacketPacer: {
        "__init__": "max_datagram_size",
        "next_send_time": "now",
        "update_after_send": "now",
        "update_rate": "congestion_window smoothed_rtt",
    },
    CryptoPair: {"decrypt_packet": "packet encrypted_offset expected_packet_number"},
    QuicPacketBuilder: {
        "__init__": "host_cid peer_cid version is_client max_datagram_size packet_number "
        "peer_token quic_logger spin_bit",
        "start_frame": "frame_type capacity handler handler_args",
        "start_packet": "packet_type crypto",
    },
    QuicLogger: {"start_trace": "is_client odcid", "end_trace": "trace"},
    QuicLoggerTrace: {
        "__init__": "is_client odcid",
        "encode_connection_limit_frame": "frame_type maximum",
        "encode_max_stream_data_frame": "maximum stream_id",
        "encode_new_connection_id_frame": "connection_id retire_prior_to sequence_number "
        "stateless_reset_token",
        "encode_new_token_frame": "token",
        "encode_ping_frame": "",
        "encode_transport_parameters": "owner parameters",
        "log_event": "category event data",
    },
}
"""Methods that are called or overridden, and their parameters."""

OVERRIDES: dict[type, set[str]] = {
    AioquicEngine: {
        "receive_datagram",
        "_confirm_handshake",
        "_flush_builder",
        "_get_or_create_stream",
        "_handle_max_data_frame",
        "_handle_max_stream_data_frame",
        "_initialize",
        "_payload_received",
        "_replenish_connection_ids",
        "_set_state",
        "_unblock_streams",
        "_update_traffic_key",
        "_write_application",
        "_write_connection_limits",
    },
    AioquicStream: set(),
    Sender: {"on_data_delivery", "on_reset_delivery", "reset"},
    HandshakeReceiver: {"handle_frame"},
    Receiver: {"handle_frame", "on_stop_sending_delivery", "stop"},
    Recorder: {"start_trace", "end_trace"},
    Recording: {
        "encode_new_connection_id_frame",
        "encode_new_token_frame",
        "encode_transport_parameters",
        "log_event",
    },
    Recovery: {"on_ack_received", "on_packet_sent", "_detect_loss", "_on_packets_lost"},
    Pacer: {"next_send_time", "update_after_send", "update_rate"},
}
"""The names that our classes override on purpose."""
