"""The engine that needs nothing but pip: aioquic, and every private name of it that is touched.

`connection` is one connection as the link sees it: it stands on `unpacking` and `receiving`, and
these on `repeating`, `flights`, `sending` and `control`. `packing`, `streams`, `turns`, `spans`,
`recovery`, `reordering` and `mtu` are what they work with; `tls` is who is who. `bbr` says how fast
to send and how much, which `pacer` keeps to: by `bbr_startup` and `bbr_probing`, which go by
`bbr_model` (with `bbr_rates`, `bbr_round_trips`, `bbr_losses` and `bbr_yielding`) and `delivery`'s
samples.
`endpoint` leads datagrams to connections, with `packets` for those that have none, and `carriage`
is its socket. Nothing outside this package may know aioquic; test_hooks.py, beside its other tests,
holds each private name against the installed version.
"""

import aioquic

VERSION = aioquic.__version__
