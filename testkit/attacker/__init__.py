"""An attacker on a slow line, as a program of its own, and the attacks that it knows.

    python -m testkit.attacker ATTACK PID-OF-THE-REMOTE'S-HOST ADDRESS:PORT ORIGIN'S-ADDRESS MBIT

It holds the far end of a network device on the remote's host (`testkit.namespaces`), and makes all
packets itself. It can therefore send from any address, and reads what the remote sends to any of
them. It needs Linux and root.

program   starts and stops it
line      the device, and its rate
addresses the attacker's addresses, and those that it pretends to have
packets   IPv4, UDP and ICMP packets
initials  QUIC Initial packets without connections
frames    QUIC frames
links     links whose handshake the attacker completes
attacks   the attacks
"""
