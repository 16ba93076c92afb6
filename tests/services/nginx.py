"""A real nginx that serves something below a path of its own.

A test that needs it is skipped where the program is missing.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.ports import free_port

START_SECONDS = 90

_CONFIGURATION = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{listen};
    location {prefix} {{
      proxy_pass {url}/;
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(url: str, *, prefix: str) -> Iterator[str]:
    """The address, which ends in the prefix, by which what is at `url` is reached through nginx."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    listen = free_port()
    with tempfile.TemporaryDirectory(prefix="registry-nginx-") as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, listen=listen, prefix=prefix, url=url)
        )
        process = subprocess.Popen(
            [program, "-p", folder, "-e", f"{folder}/error.log", "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
        )
        try:
            _await_listening(process, listen)
            yield f"http://127.0.0.1:{listen}{prefix}"
        finally:
            process.kill()
            process.wait()


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "nginx has ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        assert time.monotonic() < end, "nginx does not listen"
        time.sleep(0.02)
