//! When the peer last sent something, and when it last acknowledged something. quinn does not
//! report these times, so they are derived from its frame counters.

use std::time::Instant;

use quinn_proto::{ConnectionStats, FrameStats};

/// Counters and times of received packets and ACKs.
#[derive(Debug, Default)]
pub(super) struct PeerActivity {
    /// When the last authenticated packet arrived.
    pub(super) last_received_at: Option<Instant>,
    /// When the peer last acknowledged something.
    pub(super) last_acked_at: Option<Instant>,
    /// ACKs that acknowledged something new.
    pub(super) acks: u64,
    /// STREAM frames received.
    pub(super) stream_frames: u64,
    received_frames: u64,
    ack_eliciting_at_ack: u64,
}

impl PeerActivity {
    /// Compare the counters with the previous ones. Return whether the peer acknowledged something.
    pub(super) fn update(&mut self, stats: &ConnectionStats, acks: u64, now: Instant) -> bool {
        let frames = received_frames(&stats.frame_rx);
        if frames != self.received_frames {
            self.received_frames = frames;
            self.stream_frames = stats.frame_rx.stream;
            self.last_received_at = Some(now);
        }
        let is_acked = acks != self.acks;
        if is_acked {
            self.acks = acks;
            self.last_acked_at = Some(now);
            self.ack_eliciting_at_ack = ack_eliciting(&stats.frame_tx);
        }
        is_acked
    }

    /// Whether an ack-eliciting frame was sent after the last ACK arrived.
    pub(super) fn has_sent_since_ack(&self, stats: &ConnectionStats) -> bool {
        ack_eliciting(&stats.frame_tx) != self.ack_eliciting_at_ack
    }
}

/// Return the number of frames, other than PADDING, that do something for a stream.
pub(super) const fn received_stream_frames(stats: &FrameStats) -> u64 {
    let blocked = stats.stream_data_blocked;
    stats.stream + stats.reset_stream + stats.stop_sending + stats.max_stream_data + blocked
}

/// Return the number of frames other than PADDING.
pub(super) fn received_frames(stats: &FrameStats) -> u64 {
    ack_eliciting(stats) + stats.acks + stats.connection_close
}

/// Return the number of ack-eliciting frames (RFC 9002, 2).
fn ack_eliciting(stats: &FrameStats) -> u64 {
    let FrameStats {
        ack_frequency,
        crypto,
        data_blocked,
        datagram,
        handshake_done,
        immediate_ack,
        max_data,
        max_stream_data,
        max_streams_bidi,
        max_streams_uni,
        new_connection_id,
        new_token,
        path_challenge,
        path_response,
        ping,
        reset_stream,
        retire_connection_id,
        stream_data_blocked,
        streams_blocked_bidi,
        streams_blocked_uni,
        stop_sending,
        stream,
        ..
    } = *stats;
    let flow = max_data + max_stream_data + max_streams_bidi + max_streams_uni;
    let blocked = data_blocked + stream_data_blocked + streams_blocked_bidi + streams_blocked_uni;
    let paths = new_connection_id + retire_connection_id + path_challenge + path_response;
    let streams = stream + reset_stream + stop_sending + datagram;
    let others = ack_frequency + immediate_ack + crypto + u64::from(handshake_done) + new_token;
    flow + blocked + paths + streams + others + ping
}
