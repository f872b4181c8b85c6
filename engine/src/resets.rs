//! Stateless resets (RFC 9000, 10.3): the key that they follow from, and how many there are.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{EndpointConfig, RandomConnectionIdGenerator};
use ring::hmac;

/// Bytes of a connection id, in either engine: a process of the one answers for those of the other.
const CONNECTION_ID_SIZE: usize = 8;

/// Between two resets: enough to tell a thousand origins within seconds of a restart, and of no use
/// to a flood.
const INTERVAL: Duration = Duration::from_millis(5);

/// What the tokens of resets follow from. Whoever has it is believed; it shows nothing of itself.
#[derive(Clone, Debug)]
pub struct ResetKey(hmac::Key);

impl ResetKey {
    /// The key of that secret: a token is the first half of HMAC-SHA256 over a connection id.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

/// quinn's settings of an endpoint that has this key, or one of its own that ends with it.
pub(crate) fn endpoint_config(key: Option<&ResetKey>) -> EndpointConfig {
    let mut config = match key {
        Some(ResetKey(key)) => EndpointConfig::new(Arc::new(key.clone())),
        None => EndpointConfig::default(),
    };
    // quinn's own generator knows its ids again, and answers for no others: not for those of the
    // process before it.
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID_SIZE)));
    config.min_reset_interval(INTERVAL);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let shown = format!("{:?}", ResetKey::new(b"hush, hush"));
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
