"""The page that the browser opens: a hundred pictures of different colours, and a WebSocket.

It makes HTML and PNG, and parses PNG. The layout is in pixels, so that a script can find each
picture in a screenshot. No I/O.
"""

from __future__ import annotations

import itertools
import struct
import zlib

COUNT = 100
"""Pictures."""

ACROSS = 10
"""Pictures in a row."""

CELL = 48
"""The side of a picture in pixels."""

SIDE = ACROSS * CELL
"""The side in pixels of the square of all pictures, in the upper left corner."""

LINE = 40
"""The height in pixels of the line below it, which turns green after the WebSocket's echoes."""

GREEN = (0, 128, 0)

_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>loading</title><link rel="icon" href="data:,">
<style>
body {{ margin: 0; font: 16px sans-serif }}
main {{ width: {side}px; height: {side}px; font-size: 0; line-height: 0 }}
p {{ margin: 0; width: {side}px; height: {line}px; line-height: {line}px; text-align: center;
     background: #800; color: #fff }}
</style></head><body><main>{images}</main><p>no WebSocket yet</p>
<script>
const line = document.querySelector("p");
const echoes = new Promise((resolve, reject) => {{
  const socket = new WebSocket("wss://" + location.host + "/echo");
  const got = [];
  socket.onopen = () => {{ for (let i = 0; i < 10; i++) socket.send("message " + i) }};
  socket.onmessage = event => {{ if (got.push(event.data) === 10) resolve(got) }};
  socket.onerror = socket.onclose = () => reject(new Error("the WebSocket ended"));
}});
const loaded = new Promise(resolve => addEventListener("load", resolve));
window.finished = Promise.all([echoes, loaded]).then(([got]) => {{
  line.style.background = "#008000";
  line.textContent = "WebSocket: " + got.at(-1);
  document.title = "finished";
  return {{
    images: [...document.images].filter(
      image => image.complete && image.naturalWidth === {cell}).length,
    echoes: got,
    text: line.textContent,
  }};
}});
</script></body></html>
"""


def page() -> bytes:
    """Return the page's HTML."""
    images = "".join(f'<img src="/image/{i}.png" width={CELL} height={CELL}>' for i in range(COUNT))
    return _HTML.format(side=SIDE, line=LINE, cell=CELL, images=images).encode()


def colour(number: int) -> tuple[int, int, int]:
    """Return the red, green and blue of a picture. No two pictures have the same."""
    return 25 * (number % 10), 25 * (number // 10), 255 - 2 * number


def image(number: int) -> bytes:
    """Return a picture as PNG."""
    row = b"\0" + bytes(colour(number)) * CELL
    head = struct.pack("!IIBBBBB", CELL, CELL, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(row * CELL)), _chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def centres() -> list[tuple[int, int, tuple[int, int, int]]]:
    """Return the centre and the colour of each picture."""
    half = CELL // 2
    places = itertools.product(range(ACROSS), range(ACROSS))
    return [(x * CELL + half, y * CELL + half, colour(y * ACROSS + x)) for y, x in places]


def pixels(png: bytes) -> list[bytes]:
    """Return the rows of a PNG with eight bits per channel, as red, green and blue.

    :raises ValueError: it is another kind of PNG.
    """
    at, compressed, width, channels = 8, b"", 0, 0
    while at < len(png):
        (length,) = struct.unpack_from("!I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            width, _, depth, form, _, _, interlaced = struct.unpack("!IIBBBBB", data)
            channels = {2: 3, 6: 4}.get(form, 0)
            if depth != 8 or not channels or interlaced:
                raise ValueError(f"a PNG of depth {depth}, colour type {form}")
        elif kind == b"IDAT":
            compressed += data
    rows = _unfilter(zlib.decompress(compressed), width * channels, channels)
    if channels == 3:
        return rows
    return [bytes(itertools.chain(*zip(r[::4], r[1::4], r[2::4], strict=True))) for r in rows]


def _unfilter(raw: bytes, size: int, step: int) -> list[bytes]:
    """Undo the filters of PNG (section 9.2 of its specification)."""
    rows: list[bytes] = []
    above = bytes(size)
    for start in range(0, len(raw), size + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + size])
        for i in range(size) if kind else ():
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            row[i] = (row[i] + _predict(kind, left, above[i], corner)) & 0xFF
        above = bytes(row)
        rows.append(above)
    return rows


def _predict(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    distances = (abs(up - corner), abs(left - corner), abs(left + up - 2 * corner))
    return (left, up, corner)[distances.index(min(distances))]
