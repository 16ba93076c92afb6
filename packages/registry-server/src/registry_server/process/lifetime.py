"""What the log says of a server's life: what started, and that it has ended."""

from __future__ import annotations

import logging
import sys
import time
from importlib import metadata

from registry_core.backends import artifacts_url
from registry_core.redaction import redacted
from registry_server.process.logs import fields
from registry_server.process.settings import Settings

_logger = logging.getLogger("registry_server")


def version() -> str:
    """Return the release of this server."""
    return metadata.version("registry-server")


class Lifetime:
    """The life of one server, at the URL by which this machine reaches it."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._started = time.monotonic()

    def log_start(self) -> None:
        """Say what serves what to whom. No secret is shown."""
        settings = self._settings
        root = artifacts_url(settings.store, settings.artifacts)
        said = {
            "version": version(),
            "store": redacted(settings.store),
            "artifacts": "none" if root is None else redacted(root),
            "workers": settings.workers,
            "access": access(settings),
        }
        if settings.log_format == "text":
            # For people, at whatever level they log.
            print(f"Serving a model registry at {self._url}", file=sys.stderr)  # noqa: T201
        shown = ", ".join(f"{name} {value}" for name, value in said.items())
        _logger.info("the server starts: %s", shown, extra=fields(url=self._url, **said))

    def end(self) -> None:
        """Say that the server has ended in order, and how long it ran."""
        seconds = round(time.monotonic() - self._started, 1)
        _logger.info(
            "the server has ended after %.1f seconds", seconds, extra=fields(seconds=seconds)
        )


def access(settings: Settings) -> str:
    """Return who may call, in a few words."""
    if settings.access_file:
        return f"as {settings.access_file} says"
    if settings.auth_file:
        return f"users of {settings.auth_file}"
    return "everybody who reaches it" if settings.allow_unauthenticated else "this machine"
