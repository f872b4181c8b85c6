"""The bytes on the wire: encoders and decoders. Pure: no I/O, no asyncio."""
