//! What is heard of a peer: when it last spoke, and when it last answered. quinn does not tell
//! either; its statistics do.

use std::time::Instant;

use quinn_proto::{ConnectionStats, FrameStats};

/// What was heard of a connection's peer.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// When the last genuine packet came.
    pub(crate) heard_at: Option<Instant>,
    /// When something was last acknowledged.
    pub(crate) answered_at: Option<Instant>,
    /// How many acknowledgements have come.
    pub(crate) answers: u64,
    /// Frames of streams that have come.
    pub(crate) stream_frames: u64,
    frames: u64,
    asked_at_answer: u64,
}

impl Hearing {
    /// Look what has come, given how many acknowledgements; return whether one of them is new.
    pub(crate) fn listen(&mut self, stats: &ConnectionStats, answers: u64, now: Instant) -> bool {
        let frames = heard(&stats.frame_rx);
        if frames != self.frames {
            self.frames = frames;
            self.stream_frames = stats.frame_rx.stream;
            self.heard_at = Some(now);
        }
        let is_answered = answers != self.answers;
        if is_answered {
            self.answers = answers;
            self.answered_at = Some(now);
            self.asked_at_answer = asked(&stats.frame_tx);
        }
        is_answered
    }

    /// Whether something was sent since the last answer.
    pub(crate) fn has_asked(&self, stats: &ConnectionStats) -> bool {
        asked(&stats.frame_tx) != self.asked_at_answer
    }
}

/// Frames of any kind that were in genuine packets.
fn heard(stats: &FrameStats) -> u64 {
    asked(stats) + stats.acks + stats.connection_close
}

/// Frames that must be acknowledged (RFC 9002, 2).
pub(crate) fn asked(stats: &FrameStats) -> u64 {
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
