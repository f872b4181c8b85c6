//! Events that wait until Python takes them, by connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The sink of an endpoint, shared with the recordings of its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSink(Arc<Mutex<Sink>>);

/// The events of one connection since the last time.
#[derive(Debug, Default)]
pub struct RecordedEvents {
    /// The number of the recording. No other one of the endpoint has it.
    pub number: u64,
    /// Whether this end has dialled.
    pub is_client: bool,
    /// The destination connection ID of the client's first packet; empty before one was made.
    pub connection_id: Vec<u8>,
    /// Records of a JSON text sequence (RFC 7464).
    pub events: String,
    /// Whether these are the last ones.
    pub is_final: bool,
}

#[derive(Debug, Default)]
struct Sink {
    last_number: u64,
    waiting: BTreeMap<u64, RecordedEvents>,
}

impl SharedSink {
    /// Return the number of a new recording.
    pub(super) fn next_number(&self) -> u64 {
        self.with(|sink| {
            sink.last_number += 1;
            sink.last_number
        })
    }

    /// Change the events of a recording that wait.
    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut RecordedEvents)) {
        self.with(|sink| {
            let events = sink.waiting.entry(number);
            change(events.or_insert_with(|| RecordedEvents { number, ..Default::default() }));
        });
    }

    /// Return what waits, and forget it.
    pub(crate) fn take(&self) -> Vec<RecordedEvents> {
        self.with(|sink| std::mem::take(&mut sink.waiting)).into_values().collect()
    }

    fn with<R>(&self, operation: impl FnOnce(&mut Sink) -> R) -> R {
        operation(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
