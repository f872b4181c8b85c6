"""Answers Caddy's question whether it may obtain a certificate for a name (on-demand TLS)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from quictunnel.admin.operations import Operation, Parameter
from quictunnel.config.addresses import ASK_PATH
from quictunnel.config.host_names import normalise_host

DOMAIN = Parameter("domain", "The host name.")


def ask_operation(has_site: Callable[[str], bool]) -> Operation:
    """Return the operation `ASK_PATH`: 200 for a name of a service, 404 for any other one.

    :param has_site: returns whether a service with this host name, or with a wildcard that covers
        it, is known. A service for all names must not count: any visitor could then have Caddy
        request certificates for any number of names.
    """

    async def ask(request: Request) -> Response:
        domains = request.query_params.getlist(DOMAIN.name)
        name = normalise_host(domains[0]) if len(domains) == 1 else None
        if name is None:
            return PlainTextResponse(f"write {ASK_PATH}?domain=NAME with a host name\n", 400)
        if not has_site(name):
            return PlainTextResponse(f"no service has the host name {name}\n", 404)
        return PlainTextResponse(f"a service has the host name {name}\n")

    return Operation(
        "GET",
        ASK_PATH,
        "Tell Caddy whether a service has a host name. From this machine it needs no token.",
        ask,
        media_type="text/plain",
        parameters=(DOMAIN,),
        failures={400: "There is no host name.", 404: "No service has the host name."},
        failure=None,
    )
