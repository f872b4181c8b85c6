//! Congestion control: quinn's own algorithms, watched. What the link must know of acknowledgements
//! is told to controllers and to nobody else; and a question to a silent peer must be able to leave
//! though the window is full of what was lost.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{
    BbrConfig, Controller, ControllerFactory, ControllerMetrics, CubicConfig, NewRenoConfig,
};

/// Which algorithm decides how much may be in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Congestion {
    /// Measures the path's rate, and is not moved by random loss.
    Bbr,
    /// RFC 9438.
    Cubic,
    /// RFC 9002, 7.
    Reno,
}

impl Congestion {
    /// The algorithm of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "bbr" => Some(Self::Bbr),
            "cubic" => Some(Self::Cubic),
            "reno" => Some(Self::Reno),
            _ => None,
        }
    }

    fn build(self, now: Instant, mtu: u16) -> Box<dyn Controller> {
        match self {
            Self::Bbr => Arc::new(BbrConfig::default()).build(now, mtu),
            Self::Cubic => Arc::new(CubicConfig::default()).build(now, mtu),
            Self::Reno => Arc::new(NewRenoConfig::default()).build(now, mtu),
        }
    }
}

/// What a connection's controllers see, for the connection to read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    acknowledgements: AtomicU64,
    in_flight: AtomicU64,
    sent_since: AtomicU64,
    leave: AtomicU64,
}

impl Watch {
    /// How many times something new was acknowledged.
    pub(crate) fn acknowledgements(&self) -> u64 {
        self.acknowledgements.load(Relaxed)
    }

    /// Bytes that must be acknowledged and were in flight after the last acknowledgement.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Let `bytes` leave until the next acknowledgement, however full the window is.
    pub(crate) fn grant_leave(&self, bytes: u64) {
        let in_flight = self.in_flight.load(Relaxed) + self.sent_since.load(Relaxed);
        self.leave.store(in_flight + bytes, Relaxed);
    }

    /// Let all that is still to leave do so: nothing is acknowledged any more.
    pub(crate) fn grant_leave_for_good(&self) {
        self.leave.store(u64::MAX, Relaxed);
    }
}

/// Makes watched controllers for one connection.
pub(crate) struct WatchedFactory {
    pub(crate) algorithm: Congestion,
    pub(crate) watch: Arc<Watch>,
}

impl ControllerFactory for WatchedFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.algorithm.build(now, current_mtu);
        Box::new(Watched { inner, watch: self.watch.clone(), since: now })
    }
}

struct Watched {
    inner: Box<dyn Controller>,
    watch: Arc<Watch>,
    /// When this path began, or was met anew after an outage.
    since: Instant,
}

impl Controller for Watched {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.watch.sent_since.fetch_add(bytes, Relaxed);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.watch.acknowledgements.fetch_add(1, Relaxed);
        self.watch.in_flight.store(in_flight, Relaxed);
        self.watch.sent_since.store(0, Relaxed);
        self.watch.leave.store(0, Relaxed);
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        // What was lost before says nothing of the path as it is now (RFC 9002, B.9).
        if sent >= self.since {
            self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(self.watch.leave.load(Relaxed))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let inner = self.inner.clone_box();
        Box::new(Self { inner, watch: self.watch.clone(), since: self.since })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
