"""Drops and counts packets that arrive at a host made of namespaces, with Linux's netfilter.

Dropping what arrives, and not what leaves, is what a firewall far away does: the sender gets no
error. The hosts at both ends need it so that a protocol is dropped in both directions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Literal

from testkit.programs import ProgramError

if TYPE_CHECKING:
    from testkit.namespaces import NamespaceHost

Protocol = Literal["udp", "tcp"]

NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
"""The program that changes the rules; None if it is not installed."""

MISSING = "this needs the program nft, of the package nftables"

TABLE = "inet testkit"


class Netfilter:
    """The rules of a host.

    :param ports: the port of each protocol whose packets are dropped and counted.
    """

    def __init__(self, host: NamespaceHost, ports: dict[Protocol, int]) -> None:
        if NFT is None:
            raise ProgramError(MISSING)
        self._host = host
        self._ports = ports
        counters = "\n".join(f"counter of_{name} {{}}" for name in ports)
        counting = "\n".join(
            f"{name} {end} {port} counter name of_{name}"
            for name, port in ports.items()
            for end in ("sport", "dport")
        )
        self._change(f"""
            table {TABLE} {{
                {counters}
                chain dropped {{}}
                chain input {{
                    type filter hook input priority filter;
                    iifname "lo" accept
                    jump dropped
                    {counting}
                }}
            }}""")

    def drop(self, *protocols: Protocol) -> None:
        """Drop packets of these protocols, and of no others, from now on."""
        rules = [
            f"add rule {TABLE} dropped {name} {end} {self._ports[name]} drop"
            for name in protocols
            for end in ("sport", "dport")
        ]
        self._change("\n".join([f"flush chain {TABLE} dropped", *rules]))

    def arrived(self) -> dict[Protocol, int]:
        """Return how many bytes of packets of each protocol have arrived and were not dropped."""
        listed = self._nft("--json", "list", "counters", "table", *TABLE.split())
        found = json.loads(listed)["nftables"]
        counters = [entry["counter"] for entry in found if "counter" in entry]
        sizes = {counter["name"]: counter["bytes"] for counter in counters}
        return {name: sizes[f"of_{name}"] for name in self._ports}

    def _change(self, script: str) -> None:
        self._nft("--file", "-", script=script)

    def _nft(self, *words: str, script: str = "") -> str:
        command = self._host.command(NFT, *words)
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProgramError(f"{self._host.name}: {done.stderr.strip()}")
        return done.stdout
