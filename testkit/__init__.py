"""Tools for tests, bench and interop scripts. The program itself never imports them.

clock          an event loop with a virtual clock
network        the fate of datagrams: delay, loss, reordering, a rate
weather        a network whose conditions change: outages, loss in spells
forwarder      a UDP forwarder on loopback, in front of a remote
attacker       an attacker with a slow line, and its attacks
switch         a network of several hosts
namespaces     hosts made of Linux network namespaces
programs       programs as subprocesses: output, signals, CPU time, memory
tunnel         `quictunnel remote` and `quictunnel origin`, and TCP connections through them
tls_client     a TLS client that makes its bytes itself
certificates   certificates of servers
client_hellos  TLS ClientHello messages, made field by field
connections    TCP connections that a test controls
traffic        echoes and transfers through a tunnel: when data arrives, and how each ends
engines        the QUIC engines that are installed
browser        a headless Chromium, controlled by the DevTools protocol
"""
