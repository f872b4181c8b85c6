"""QUIC links and streams. A stream is an `asyncio.Transport`."""
