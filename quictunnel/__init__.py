"""quictunnel exposes a TCP server behind NAT to the internet, over one QUIC connection.

The layers, from top to bottom. Imports point downwards only:

    cli               commands: options -> settings -> a role
    remote, origin    the two roles
    session           one link's life: the control stream and the clients
    relay             one client: a TCP connection and a stream, joined
    quic              links, and streams that are asyncio transports
    protocol          bytes on the wire: preamble, control messages, codes
    config, errors, events, observe   used by all
"""

__version__ = "0.1.0"
