"""Writes the Caddyfile that puts Caddy in front of the host names of a remote."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from quictunnel.config.addresses import ASK_PATH, HostPort
from quictunnel.config.host_names import is_pattern
from quictunnel.config.hosts import HostName
from quictunnel.errors import SettingsError
from quictunnel.remote.host_sockets import SOCKET_NAME

MAX_LABELS = 10
"""Labels of the longest host name for which the Caddyfile finds a socket."""

_LABEL = "[a-z0-9_-]+"

_SPECIAL = frozenset('"`{}\\')
"""Characters that a quoted word of a Caddyfile cannot have, or that Caddy replaces in it."""

_TEMPLATE = """\
{{
{options}
}}

{sites} {{
	tls{issuer} {{
		on_demand
	}}
	route {{
{websocket}		# The name without a dot at its end, then in lower case, with empty labels in front.
		@dot header_regexp dot Host ^([^:]+)\\.(:\\d+)?$
		request_header @dot Host {{re.dot.1}}{{re.dot.2}}
		vars name {labels}

		# Only names of up to {max_labels} labels are looked up: the client chooses the header Host.
		@name vars_regexp name name ^\\.+({name})$
		handle @name {{
			# The folder of the name, or of the longest wildcard, or of the service for all names.
			@known file {{
				root {root}
				try_files {folders}
			}}
			handle @known {{
				reverse_proxy unix/{{file_match.absolute}}/{socket} {{
					transport http {{
						proxy_protocol v2
					}}
				}}
			}}
		}}
		respond "no server of this name is connected right now" 503
	}}
}}
"""


_WEBSOCKET = """\
		# Origins whose network blocks UDP.
		@websocket {{
{host}			path {path}
			header Connection *Upgrade*
			header Upgrade websocket
		}}
		handle @websocket {{
			reverse_proxy {address}
		}}

"""

_WEBSOCKET_SITE = """\

# The remote itself, for origins whose network blocks UDP.
{name} {{
{tls}	route {{
		reverse_proxy {path} {address}
		respond 404
	}}
}}
"""


@dataclass(frozen=True, slots=True)
class CaddyWebSocket:
    """The remote's WebSocket, as Caddy on the same machine sees it."""

    address: HostPort
    """A loopback address, without TLS."""

    path: str
    """The path of its URL."""

    host: HostName | None = None
    """The only host name at which Caddy serves it; None for all names of services. Caddy obtains
    its certificate at once, unless it is one of `hosts` as well."""


def caddyfile(
    directory: Path,
    admin: HostPort,
    *,
    hosts: Collection[HostName] = (),
    websocket: CaddyWebSocket | None = None,
    email: str | None = None,
    is_internal: bool = False,
) -> str:
    """Return a complete Caddyfile.

    :param directory: that of the remote's sockets, absolute.
    :param admin: the address of the remote's admin interface.
    :param hosts: the names to serve. With a wildcard, or without any, all names are served.
    :param websocket: the remote's WebSocket; None for none.
    :param email: the operator's address for the certificate authority.
    :param is_internal: whether Caddy's own authority issues the certificates.
    :raises SettingsError: the directory's name has a character that a Caddyfile cannot have.
    """
    root = str(directory)
    if _SPECIAL & set(root) or not root.isprintable():
        raise SettingsError(f'--sockets {root!r}: choose a name without " ` {{ }} and \\')
    options = [] if email is None else [f"\temail {email}"]
    options += ["\ton_demand_tls {", f"\t\task http://{admin}{ASK_PATH}", "\t}"]
    is_any = not hosts or any(is_pattern(host) for host in hosts)
    issuer = " internal" if is_internal else ""
    route = own_site = ""
    if websocket is not None:
        at, path = websocket.address, websocket.path
        if websocket.host is None or websocket.host in hosts:
            host = f"\t\t\thost {websocket.host}\n" if websocket.host else ""
            route = _WEBSOCKET.format(host=host, address=at, path=path)
        else:
            tls = f"\ttls{issuer}\n" if issuer else ""
            own_site = _WEBSOCKET_SITE.format(name=websocket.host, tls=tls, address=at, path=path)
    wildcards = (f"/+{{re.name.{number}}}/" for number in range(2, MAX_LABELS + 1))
    text = _TEMPLATE.format(
        options="\n".join(options),
        sites="https://" if is_any else ", ".join(hosts),
        websocket=route,
        issuer=issuer,
        labels=".".join(f"{{labels.{number}}}" for number in range(MAX_LABELS, -1, -1)),
        max_labels=MAX_LABELS,
        name=_LABEL + _further_labels(MAX_LABELS - 1),
        root=f'"{root}"' if " " in root else root,
        folders=" ".join(["/{re.name.1}/", *wildcards, "/+/"]),
        socket=SOCKET_NAME,
    )
    return text + own_site


def _further_labels(count: int) -> str:
    """Return a pattern for up to so many labels. Its groups are the ends of a name."""
    return f"(\\.{_LABEL}{_further_labels(count - 1)})?" if count else ""
