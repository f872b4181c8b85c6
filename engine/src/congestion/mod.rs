//! Congestion control: our BBR and quinn's CUBIC and NewReno, each wrapped by a monitor.
//!
//! The monitor publishes ACKs and losses to the connection, and lets PINGs and CONNECTION_CLOSE
//! through when the window is full.

mod bbr;
mod control_state;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{
    Controller, ControllerFactory, ControllerMetrics, CubicConfig, NewRenoConfig,
};

use bbr::Bbr;
pub(crate) use control_state::{ControlState, Gate};

/// A congestion control algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Congestion {
    /// BBR (draft-ietf-ccwg-bbr-04).
    Bbr,
    /// CUBIC (RFC 9438).
    Cubic,
    /// NewReno (RFC 9002, 7).
    Reno,
}

impl Congestion {
    /// Return the algorithm with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bbr" => Some(Self::Bbr),
            "cubic" => Some(Self::Cubic),
            "reno" => Some(Self::Reno),
            _ => None,
        }
    }

    fn build(self, now: Instant, mtu: u16, control: &Arc<ControlState>) -> Box<dyn Controller> {
        control.publish(0, 0); // until the controller says otherwise
        match self {
            Self::Bbr => Box::new(Bbr::new(now, mtu, control.clone())),
            Self::Cubic => Arc::new(CubicConfig::default()).build(now, mtu),
            Self::Reno => Arc::new(NewRenoConfig::default()).build(now, mtu),
        }
    }
}

/// Builds monitored controllers for one connection.
pub(crate) struct MonitoredFactory {
    pub(crate) algorithm: Congestion,
    pub(crate) control: Arc<ControlState>,
}

impl ControllerFactory for MonitoredFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.algorithm.build(now, current_mtu, &self.control);
        Box::new(Monitored { inner, control: self.control.clone(), path_since: now })
    }
}

struct Monitored {
    inner: Box<dyn Controller>,
    control: Arc<ControlState>,
    /// When the path was last new, or last came back after an outage.
    path_since: Instant,
}

impl Controller for Monitored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        // quinn also reports packets that are not ack-eliciting. It asks for the window first only
        // if a packet is.
        if self.control.is_asked() {
            self.control.on_sent(bytes);
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
        self.control.on_ack(in_flight);
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.control.on_lost(lost_bytes);
        // A packet sent on the previous path says nothing about this one (RFC 9002, B.9).
        if sent >= self.path_since {
            self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.control.answer(self.inner.window())
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let inner = self.inner.clone_box();
        Box::new(Self { inner, control: self.control.clone(), path_since: self.path_since })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
