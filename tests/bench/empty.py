"""Litestar with one handler that does nothing: `python -m bench.empty PORT`.

What it costs is the floor below which no handler of this framework on this HTTP server can get.
"""

import socket
import sys

from litestar import Litestar, MediaType, get

from registry_server.process.listener import WorkerConfig, WorkerServer


@get("/", media_type=MediaType.TEXT)
async def nothing() -> str:
    """Answers."""
    return "OK"


def main():
    """Serves until it is told to end."""
    app = Litestar([nothing], openapi_config=None, logging_config=None)
    # As `registry_server` has it.
    config = WorkerConfig(
        app,
        http="registry_server.process.protocol:RegistryProtocol",
        ws="none",
        loop="auto",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    WorkerServer(config).run([socket.create_server(("127.0.0.1", int(sys.argv[1])))])


if __name__ == "__main__":
    main()
