"""quictunnel puts a TCP server that runs behind NAT on the internet, over one QUIC connection.

The layers, from the top; imports point downwards only:

    cli               options -> settings -> a role
    remote, origin    the two roles
    session           what both roles share: the control stream, the clients of a link
    relay             one client: a TCP connection and a stream, joined
    link              QUIC: sockets, links, and streams that are transports
    protocol          what travels: preamble, control messages, codes
    config, errors, observe   used by all
"""

__version__ = "0.1.0"
