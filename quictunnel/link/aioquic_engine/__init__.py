"""The engine that needs nothing but pip: aioquic, and every private name of it that is touched.

`connection` is the engine as the link sees it: it stands on `receiving`, and that on `sending`.
`streams`, `spans`, `recovery` and `mtu` are what these two work with; `tls` is who is who, and
`packets` what a listener must read before there is a connection. Nothing outside this package may
know aioquic; tests/link/test_hooks.py holds each private name against the installed version.
"""

import aioquic

VERSION = aioquic.__version__
