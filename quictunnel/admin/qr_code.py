"""Draws the public addresses of services as QR codes, for the camera of a phone."""

from __future__ import annotations

import asyncio
import io
from functools import lru_cache

import segno
from starlette.requests import Request
from starlette.responses import Response

from quictunnel.admin.operations import Operation, Parameter, error_response, text_of
from quictunnel.admin.paths import API
from quictunnel.snapshots import ObservedRole

MAX_CODES = 64
"""Drawings that are kept. Each has some kilobytes."""

MEDIA_TYPE = "image/svg+xml"

URL = Parameter("url", "The address, which is one of a service.")

_QUIET_ZONE = 4
"""Modules of white around the code (ISO/IEC 18004)."""


def qr_operation(role: ObservedRole) -> Operation:
    """Return the operation that draws an address.

    It draws only addresses of services. Otherwise any address could be drawn here, where the user
    trusts it.
    """

    async def answer(request: Request) -> Response:
        url = text_of(request, URL)
        if not any(url in service.urls for service in role.list_services()):
            return error_response("no service has this address", 404)
        try:
            image = await asyncio.to_thread(_draw, url)  # it takes milliseconds
        except segno.DataOverflowError:
            return error_response("the address is too long for a QR code", 404)
        return Response(image, media_type=MEDIA_TYPE)

    return Operation(
        "GET",
        f"{API}/qr",
        "Draw an address of a service as a QR code.",
        answer,
        media_type=MEDIA_TYPE,
        parameters=(URL,),
        failures={
            400: "A parameter is malformed.",
            404: "No service has this address, or it is too long.",
        },
    )


@lru_cache(maxsize=MAX_CODES)
def _draw(url: str) -> bytes:
    """Return the QR code of an address as SVG, black on white.

    :raises segno.DataOverflowError: the address is too long.
    """
    image = io.BytesIO()
    code = segno.make_qr(url, error="m")
    code.save(image, kind="svg", border=_QUIET_ZONE, light="#fff", omitsize=True, xmldecl=False)
    return image.getvalue()
