"""The engine that works wherever pip works: aioquic.

`connection` has the only subclass of aioquic's `QuicConnection`. It is composed of

- `stream_table`: the open `streams`, and the `send_queue` of those that have something to send,
- `receive_credit`: the connection's part of the budget for unread data,
- `recovery`: loss recovery, with the congestion control in `congestion`,
- `payload`: reads the frames of packets, within the limits on what a peer may cost,
- `peer_budget`: the budgets of a peer that has not proven itself,
- `mtu`: the search for the path's MTU.

`endpoint` routes the datagrams of one socket to connections, with `packets` and `resets` for those
without a connection and `tls` for configurations. `endpoint_socket` joins it to the event loop.

No other package imports aioquic. Its private names are used in `connection`, and by the subclasses
of its parts in `streams`, `recovery` and `congestion`. `test_hooks` holds each of them against the
installed version.
"""

import aioquic

VERSION = aioquic.__version__
