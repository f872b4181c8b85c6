"""What the engine touches of aioquic, by name: methods, attributes, and what it overrides.

`test_hooks` holds these tables against the installed version, and against the engine's source.
"""

from __future__ import annotations

from collections import deque

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic._crypto import AEAD, HeaderProtection
from aioquic.quic import connection, events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.crypto import CryptoContext, CryptoPair
from aioquic.quic.packet import QuicPreferredAddress
from aioquic.quic.packet_builder import QuicPacketBuilder, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery
from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

from quictunnel.link.aioquic_engine.connection import AioquicEngine
from quictunnel.link.aioquic_engine.control import ControlConnection
from quictunnel.link.aioquic_engine.flights import FlightsConnection
from quictunnel.link.aioquic_engine.pacer import Pacer
from quictunnel.link.aioquic_engine.packing import ShortPackets
from quictunnel.link.aioquic_engine.receiving import ReceivingConnection
from quictunnel.link.aioquic_engine.recovery import Recovery
from quictunnel.link.aioquic_engine.sending import SendingConnection
from quictunnel.link.aioquic_engine.spans import BoundedReceiver
from quictunnel.link.aioquic_engine.streams import Receiver, Sender, StreamState

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
        "_close_begin": "is_initiator now",
        "_get_or_create_stream": "frame_type stream_id",
        "_initialize": "peer_cid",
        "_handle_max_data_frame": "context frame_type buf",
        "_handle_max_stream_data_frame": "context frame_type buf",
        "_on_connection_limit_delivery": "delivery limit",
        "_on_ping_delivery": "delivery uids",
        "_replenish_connection_ids": "",
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
        "_write_streams_blocked_frame": "builder frame_type limit",
    },
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
    AEAD: {"encrypt": "data associated_data packet_number"},
    HeaderProtection: {"_mask": "sample"},
    QuicPacketBuilder: {
        "__init__": "host_cid peer_cid version is_client max_datagram_size packet_number "
        "peer_token quic_logger spin_bit",
        "_end_packet": "",
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
        "_close_pending": bool,
        "_ack_eliciting_sent_since_receipt": bool,
        "_ping_pending": list,
        "_probe_pending": bool,
        "_remote_preferred_address": (QuicPreferredAddress, type(None)),
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
        "peer_cid": (connection.QuicConnectionId, type(None)),
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
        "_acked": RangeSet,
        "_acked_fin": bool,
        "_buffer": bytearray,
        "_buffer_fin": (int, type(None)),
        "_buffer_start": int,
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
    "receiver": {
        "_ranges": RangeSet,
        "highest_offset": int,
        "is_finished": bool,
        "stop_pending": bool,
    },
    "recovery": {
        "_cc": object,
        "_pacer": QuicPacketPacer,
        "_pto_count": int,
        "_rtt_first_sample_time": float,
        "_rtt_initial": float,
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
    "congestion": {
        "_congestion_recovery_start_time": float,
        "_max_datagram_size": int,
        "bytes_in_flight": int,
        "congestion_window": int,
        "ssthresh": (int, type(None)),
    },
    "space": {
        "ack_at": (float, type(None)),
        "ack_eliciting_in_flight": int,
        "largest_acked_packet": int,
        "largest_received_time": (float, type(None)),
        "loss_time": (float, type(None)),
        "sent_packets": dict,
    },
    "builder": {
        "_buffer": Buffer,
        "_buffer_capacity": int,
        "_datagrams": list,
        "_flight_capacity": int,
        "_header_size": int,
        "_packet": (QuicSentPacket, type(None)),
        "_packet_crypto": (CryptoPair, type(None)),
        "_packet_number": int,
        "_packets": list,
        "_peer_cid": bytes,
        "packet_number": int,
    },
    "crypto": {
        "_update_key_requested": bool,
        "aead_tag_size": int,
        "key_phase": int,
        "recv": CryptoContext,
        "send": CryptoContext,
    },
    "keys": {"aead": AEAD, "hp": HeaderProtection, "key_phase": int},
}
"""Attributes that are read or set, by what they belong to, and their types."""

OVERRIDES: dict[type, set[str]] = {
    ControlConnection: {"_write_connection_limits"},
    FlightsConnection: {"datagrams_to_send"},
    SendingConnection: {
        "_get_or_create_stream",
        "_handle_max_data_frame",
        "_handle_max_stream_data_frame",
        "_unblock_streams",
        "_write_application",
    },
    ReceivingConnection: {"_initialize", "_replenish_connection_ids"},
    AioquicEngine: {"_update_traffic_key"},
    StreamState: set(),
    Sender: {"on_data_delivery", "on_reset_delivery", "reset"},
    BoundedReceiver: {"handle_frame"},
    Receiver: {"on_stop_sending_delivery", "stop"},
    Recovery: {"_detect_loss", "on_ack_received", "on_packet_sent"},
    ShortPackets: {"_end_packet", "flush", "start_frame", "start_packet"},
    Pacer: {"next_send_time", "update_after_send", "update_rate"},
}
"""What our classes mean to override, and nothing else."""
