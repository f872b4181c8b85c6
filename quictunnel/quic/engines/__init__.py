"""The QUIC engines, and the choice between them."""
