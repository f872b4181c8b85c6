"""Attributes of aioquic that the engine reads or sets, and their types.

Methods are in `aioquic_names`. `test_hooks` holds both tables against the installed version.
"""

from __future__ import annotations

from collections import deque

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic import connection, events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnectionState
from aioquic.quic.crypto import CryptoContext
from aioquic.quic.logger import QuicLoggerTrace
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketNumberWindow, QuicPacketPacer, QuicPacketRecovery
from aioquic.quic.stream import QuicStreamReceiver, QuicStreamSender

ATTRIBUTES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "connection": {
        "_close_at": (float, type(None)),
        "_close_event": (events.ConnectionTerminated, type(None)),
        "_configuration": QuicConfiguration,
        "_crypto_streams": dict,
        "_QuicConnection__frame_handlers": dict,
        "_cryptos": dict,
        "_cryptos_initial": dict,
        "_events": deque,
        "_handshake_confirmed": bool,
        "_host_cids": list,
        "_handshake_done_pending": bool,
        "_retire_connection_ids": list,
        "_is_client": bool,
        "_local_max_data": connection.Limit,
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
        "_ack_delay": float,
        "_close_pending": bool,
        "_ack_eliciting_sent_since_receipt": bool,
        "_ping_pending": list,
        "_probe_pending": bool,
        "_remote_max_data": int,
        "_remote_max_data_used": int,
        "_remote_max_stream_data_bidi_local": int,
        "_quic_logger": (QuicLoggerTrace, type(None)),
        "_remote_max_stream_data_bidi_remote": int,
        "_remote_max_streams_bidi": int,
        "_spaces": dict,
        "_spin_bit": bool,
        "_state": QuicConnectionState,
        "_streams": dict,
        "_streams_blocked_bidi": list,
        "_streams_blocked_pending": bool,
        "_streams_queue": list,
        "_version": int,
        "host_cid": bytes,
        "tls": tls.Context,
    },
    "tls": {
        "alpn_cb": object,
        "update_traffic_key_cb": object,
        "_peer_certificate": object,
        "_peer_certificate_chain": (list, tuple),
        "key_schedule": tls.KeySchedule,
    },
    "path": {
        "addr": tuple,
        "is_validated": bool,
        "peer_cid": (connection.QuicConnectionId, type(None)),
        "remote_challenges": deque,
    },
    "limit": {"frame_type": int, "sent": int, "used": int, "value": int},
    "stream": {
        "is_blocked": bool,
        "is_finished": bool,
        "max_stream_data_local": int,
        "max_stream_data_remote": int,
        "receiver": QuicStreamReceiver,
        "sender": QuicStreamSender,
        "stream_id": int,
    },
    "sender": {
        "_acked": RangeSet,
        "_buffer": bytearray,
        "_buffer_stop": int,
        "_pending": RangeSet,
        "_reset_error_code": (int, type(None)),
        "buffer_is_empty": bool,
        "highest_offset": int,
        "is_finished": bool,
        "reset_pending": bool,
    },
    "receiver": {
        "_ranges": RangeSet,
        "_stream_id": (int, type(None)),
        "highest_offset": int,
        "is_finished": bool,
        "stop_pending": bool,
    },
    "recovery": {
        "_cc": object,
        "_pacer": QuicPacketPacer,
        "_pto_count": int,
        "_rtt_initial": float,
        "_rtt_initialized": bool,
        "_rtt_latest": float,
        "_rtt_min": float,
        "_rtt_smoothed": float,
        "_time_of_last_sent_ack_eliciting_packet": float,
        "_send_probe": object,
        "spaces": list,
    },
    "congestion": {
        "_congestion_recovery_start_time": float,
        "_max_datagram_size": int,
        "bytes_in_flight": int,
        "congestion_window": int,
    },
    "space": {
        "ack_queue": RangeSet,
        "expected_packet_number": int,
        "largest_acked_packet": int,
        "loss_time": (float, type(None)),
        "largest_received_packet": int,
        "received_packets": QuicPacketNumberWindow,
        "ack_at": (float, type(None)),
        "ack_eliciting_in_flight": int,
        "largest_received_time": (float, type(None)),
        "sent_packets": dict,
    },
    "builder": {
        "_buffer": Buffer,
        "_packet": (QuicSentPacket, type(None)),
        "packet_is_empty": bool,
        "remaining_buffer_space": int,
        "remaining_flight_space": int,
    },
    "crypto": {"send": CryptoContext},
}
"""Attributes that are read or set, by their owner."""
