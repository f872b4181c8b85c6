//! Congestion control: our BBR and quinn's other algorithms, watched. What the link must know of
//! acknowledgements is told to controllers and to nobody else; and a question to a silent peer must
//! be able to leave though the window is full of what was lost.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{
    Controller, ControllerFactory, ControllerMetrics, CubicConfig, NewRenoConfig,
};

use crate::bbr::Bbr;
use crate::watch::Watch;

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

    fn build(self, now: Instant, mtu: u16, watch: &Arc<Watch>) -> Box<dyn Controller> {
        watch.steer(0, 0); // unless the controller says otherwise
        match self {
            Self::Bbr => Box::new(Bbr::new(now, mtu, watch.clone())),
            Self::Cubic => Arc::new(CubicConfig::default()).build(now, mtu),
            Self::Reno => Arc::new(NewRenoConfig::default()).build(now, mtu),
        }
    }
}

/// Makes watched controllers for one connection.
pub(crate) struct WatchedFactory {
    pub(crate) algorithm: Congestion,
    pub(crate) watch: Arc<Watch>,
}

impl ControllerFactory for WatchedFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.algorithm.build(now, current_mtu, &self.watch);
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
        if self.watch.was_asked() {
            self.watch.count_sent(bytes);
            self.inner.on_sent(now, bytes, last_packet_number);
        }
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
        self.watch.count_acknowledgement(in_flight);
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.watch.count_lost(lost_bytes);
        // What was lost before says nothing of the path as it is now (RFC 9002, B.9).
        if sent >= self.since {
            self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.watch.answer(self.inner.window())
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
