"""Other reverse tunnels, where they are installed: how each exposes one TCP port.

Each runs with its defaults, with its own encryption, and with a key or certificate that the client
checks, if it has these. quictunnel neither contains nor downloads them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from bench import ssh
from bench.host_pair import HERE, HostPair
from bench.server import DONE, HEADER, IDLE
from testkit.namespaces import ProgramHost
from testkit.programs import PATIENCE, Program, ProgramError
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Commands = tuple[list[str], list[str]]
"""The commands of the server (our remote) and the client (our origin)."""

LOOK_AGAIN = 0.05
"""Seconds between two probes."""

PROBE = 1.0
"""Seconds to wait for the answer to a probe."""


@dataclass(frozen=True)
class Place:
    """The ports, folder and hosts of a peer."""

    control: int
    """The port by which its client reaches its server, for TCP or UDP."""
    outside: int
    server: int
    scratch: Path
    """A folder with a certificate for localhost (`bench.pem`) and its key (`bench.key`)."""
    site: HostPair = HERE

    @property
    def address(self) -> str:
        """The address of its server, for its client and for clients of the tunnel."""
        return self.site.remote_address

    def write(self, name: str, text: str) -> str:
        """Write a configuration file; return its path."""
        path = self.scratch / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class PeerTunnel:
    """Another tunnel."""

    programs: tuple[str, ...]
    """The programs that must be on PATH."""
    carrier: str
    """Its transport and encryption."""
    commands: Callable[[Place], Commands]
    version_option: str = "--version"
    """The option by which the first program prints its version."""
    is_single: bool = False
    """Whether only one can run on a machine."""

    @property
    def is_installed(self) -> bool:
        return all(map(shutil.which, self.programs))

    def version(self) -> str:
        """Return the version that the program prints."""
        command = [self.programs[0], self.version_option]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return (done.stdout or done.stderr).strip()


def rusnel(place: Place) -> Commands:
    pem, key = place.scratch / "bench.pem", place.scratch / "bench.key"
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    pin = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    server = [
        "rusnel",
        "server",
        "--host",
        place.address,
        "--port",
        str(place.control),
        "--allow-reverse",
    ]
    client = [
        "rusnel",
        "client",
        "--tls-fingerprint",
        f"sha256:{pin}",
        f"{place.address}:{place.control}",
    ]
    return (
        [*server, "--tls-cert", str(pem), "--tls-key", str(key)],
        [*client, f"R:{place.address}:{place.outside}:{LOOPBACK}:{place.server}"],
    )


def frp(place: Place, protocol: str = "quic") -> Commands:
    token = secrets.token_urlsafe()
    pem, key = place.scratch / "bench.pem", place.scratch / "bench.key"
    server = f"""
        bindAddr = "{place.address}"
        bindPort = {place.control}
        quicBindPort = {place.control}
        proxyBindAddr = "{place.address}"
        auth.token = "{token}"
        log.level = "warn"
        transport.tls.certFile = "{pem}"
        transport.tls.keyFile = "{key}"
    """
    client = f"""
        serverAddr = "{place.address}"
        serverPort = {place.control}
        auth.token = "{token}"
        log.level = "warn"
        transport.protocol = "{protocol}"
        transport.tls.trustedCaFile = "{pem}"
        transport.tls.serverName = "localhost"
        [[proxies]]
        name = "bench"
        type = "tcp"
        localIP = "{LOOPBACK}"
        localPort = {place.server}
        remotePort = {place.outside}
    """
    return (
        ["frps", "-c", place.write("frps.toml", server)],
        ["frpc", "-c", place.write("frpc.toml", client)],
    )


def rathole(place: Place) -> Commands:
    token = secrets.token_urlsafe()
    key = X25519PrivateKey.generate()
    private = base64.b64encode(key.private_bytes_raw()).decode()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    server = f"""
        [server]
        bind_addr = "{place.address}:{place.control}"
        default_token = "{token}"
        [server.transport]
        type = "noise"
        [server.transport.noise]
        local_private_key = "{private}"
        [server.services.bench]
        bind_addr = "{place.address}:{place.outside}"
    """
    client = f"""
        [client]
        remote_addr = "{place.address}:{place.control}"
        default_token = "{token}"
        [client.transport]
        type = "noise"
        [client.transport.noise]
        remote_public_key = "{public}"
        [client.services.bench]
        local_addr = "{LOOPBACK}:{place.server}"
    """
    return (
        ["rathole", "--server", place.write("rathole-server.toml", server)],
        ["rathole", "--client", place.write("rathole-client.toml", client)],
    )


def chisel(place: Place) -> Commands:
    auth = f"bench:{secrets.token_urlsafe()}"
    server = ["chisel", "server", "--host", place.address, "--port", str(place.control)]
    client = ["chisel", "client", "--auth", auth, f"http://{place.address}:{place.control}"]
    return (
        [*server, "--reverse", "--auth", auth],
        [*client, f"R:{place.address}:{place.outside}:{LOOPBACK}:{place.server}"],
    )


def bore(place: Place) -> Commands:
    # Its control port is always 7835.
    secret = ["--secret", secrets.token_urlsafe()]
    ports = ["--min-port", str(place.outside), "--max-port", str(place.outside)]
    client = ["bore", "local", str(place.server), "--local-host", LOOPBACK, "--to", place.address]
    return (
        ["bore", "server", "--bind-addr", place.address, *ports, *secret],
        [*client, "--port", str(place.outside), *secret],
    )


def gost(place: Place) -> Commands:
    pem, key = place.scratch / "bench.pem", place.scratch / "bench.key"
    login = f"relay+quic://bench:{secrets.token_urlsafe()}@{place.address}:{place.control}"
    server = f"{login}?bind=true&certFile={pem}&keyFile={key}"
    client = f"{login}?secure=true&caFile={pem}&serverName=localhost"
    forward = f"rtcp://{place.address}:{place.outside}/{LOOPBACK}:{place.server}"
    return ["gost", "-L", server], ["gost", "-L", forward, "-F", client]


def openssh(place: Place) -> Commands:
    folder = place.scratch / "ssh"
    folder.mkdir(exist_ok=True)
    ssh.prepare(folder, place.address, place.control)
    client = ["ssh", *ssh.options(folder), "-N", "-p", str(place.control)]
    client += ["-o", "ExitOnForwardFailure=yes"]
    forward = f"{place.address}:{place.outside}:{LOOPBACK}:{place.server}"
    return ssh.server(folder), [*client, "-R", forward, ssh.login(place.address)]


PEERS = {
    "ssh": PeerTunnel(("ssh", "sshd"), "one SSH connection", openssh, "-V"),
    "rusnel": PeerTunnel(("rusnel",), "one QUIC connection", rusnel),
    "frp": PeerTunnel(("frps", "frpc"), "one QUIC connection", frp),
    "frp-tcp": PeerTunnel(
        ("frps", "frpc"), "one TCP connection, TLS", partial(frp, protocol="tcp")
    ),
    "gost": PeerTunnel(("gost",), "one QUIC connection", gost, "-V"),
    "rathole": PeerTunnel(("rathole",), "a TCP connection for each client, Noise", rathole),
    "chisel": PeerTunnel(("chisel",), "one WebSocket with SSH inside", chisel),
    "bore": PeerTunnel(
        ("bore",), "a TCP connection for each client, not encrypted", bore, is_single=True
    ),
}


@contextlib.contextmanager
def running_peer(name: str, place: Place) -> Iterator[tuple[Program, Program]]:
    """Run both programs of a peer; yield them once a connection is served through them.

    Its client is restarted if it ends because its server was not ready yet.

    :raises ProgramError: no connection was served in time.
    """
    commands = PEERS[name].commands(place)
    deadline = time.monotonic() + PATIENCE
    server_command = place.site.remote.command(*commands[0])
    client_command = place.site.origin.command(*commands[1])
    with Program(f"{name}-server", server_command, place.scratch) as server:
        while time.monotonic() < deadline:
            with Program(f"{name}-client", client_command, place.scratch) as client:
                while client.process.poll() is None and time.monotonic() < deadline:
                    if serves((place.address, place.outside), place.site.remote):
                        yield server, client
                        return
                    time.sleep(LOOK_AGAIN)
        raise ProgramError(
            f"{name} served no client within {PATIENCE:.0f} s: "
            f"{server.last_words()} {client.last_words()}"
        )


def serves(address: tuple[str, int], host: ProgramHost = HERE.remote) -> bool:
    """Return whether the origin server answers a client on a host at this address."""
    with contextlib.suppress(OSError), host.socket() as probe:
        probe.settimeout(PROBE)
        probe.connect(address)
        probe.sendall(HEADER.pack(IDLE, 0))
        return probe.recv(1) == DONE
    return False
