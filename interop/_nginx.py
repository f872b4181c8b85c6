"""Settings of nginx that need no file or folder of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SETTINGS = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
}}
"""


def nginx_settings(folder: Path, http: str) -> str:
    """Return the settings of an nginx in the foreground.

    :param folder: for its files.
    :param http: the content of the block `http`, with an `access_log`.
    """
    return _SETTINGS.format(folder=folder, http=http)
