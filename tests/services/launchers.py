"""Programs for a shell that are forked from a process that has loaded them, as `forking` does.

A person's day at a terminal has dozens of commands. Python would load each anew, which is most of
what they take; here the program on the path hands its terminal, its environment and its folder to
the tests, which have it forked.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from services import forking

PROGRAMS: Mapping[str, str] = {"regctl": "registry_cli", "registry-server": "registry_server"}
"""The modules that are run, by the name of the program."""

LAUNCHER = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as tests:
    tests.connect({address!r})
    asked = json.dumps([{module!r}, sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(tests, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    tests.sendall(asked)
    sys.exit(int(tests.makefile().read()))
"""


class _Launching(socketserver.StreamRequestHandler):
    """Runs what one program on the path was called for, and says how it ended."""

    def handle(self) -> None:
        length, streams, _, _ = socket.recv_fds(self.request, 4, 3)
        module, arguments, environment, directory = json.loads(
            self.rfile.read(int.from_bytes(length, "big"))
        )
        try:
            stdin, stdout, stderr = streams
            process = forking.start(
                module,
                arguments,
                streams=(stdin, stdout, stderr),
                environment=environment,
                directory=Path(directory),
            )
        finally:
            for each in streams:
                os.close(each)
        code = process.wait()
        self.wfile.write(str(code if code >= 0 else 128 - code).encode())


@contextlib.contextmanager
def launchers(directory: Path) -> Iterator[Path]:
    """A directory for the path, with the programs."""
    address = os.fspath(directory / "tests.sock")
    with socketserver.ThreadingUnixStreamServer(address, _Launching) as server:
        for name, module in PROGRAMS.items():
            program = directory / name
            program.write_text(
                LAUNCHER.format(python=sys.executable, address=address, module=module)
            )
            program.chmod(0o755)
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield directory
        finally:
            server.shutdown()
            serving.join()
