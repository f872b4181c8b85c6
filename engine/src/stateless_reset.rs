//! Stateless resets (RFC 9000, 10.3): the key that tokens are derived from, and their rate.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{EndpointConfig, RandomConnectionIdGenerator};
use ring::hmac;

/// Bytes of a connection ID. Both engines use the same length, so that either can reset the
/// other's connections after a restart.
const CONNECTION_ID_SIZE: usize = 8;

/// Shortest time between two resets. At this rate 1,000 origins hear of a restart within 5 s, and
/// the endpoint is of no use for amplification.
const INTERVAL: Duration = Duration::from_millis(5);

/// Key that reset tokens are derived from. Whoever knows it can end connections, so its `Debug`
/// output does not contain it.
#[derive(Clone, Debug)]
pub struct ResetKey(hmac::Key);

impl ResetKey {
    /// Derive the key from a secret. A token is the first half of HMAC-SHA256 over the connection ID.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// Return quinn's endpoint configuration with this key, or with a random one.
pub(crate) fn endpoint_config(key: Option<&ResetKey>) -> EndpointConfig {
    let mut config = match key {
        Some(ResetKey(key)) => EndpointConfig::new(Arc::new(key.clone())),
        None => EndpointConfig::default(),
    };
    // quinn's default generator recognises its own IDs and answers no others. It would not reset
    // connections of the process before a restart.
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID_SIZE)));
    config.min_reset_interval(INTERVAL);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let shown = format!("{:?}", ResetKey::new(b"hush, hush"));
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
