"""The part of an application that serves artifacts."""

from __future__ import annotations

from litestar.handlers import asgi
from litestar.types import Receive, Scope, Send

from registry_core import Registry
from registry_core.wire import Json
from registry_server.artifacts.description import SCHEMAS
from registry_server.artifacts.service import MOUNTS, OPERATIONS, ArtifactService
from registry_server.http.metrics import Gauge
from registry_server.http.parts import Part
from registry_server.process.settings import DIRECT_OFF


def artifact_part(*, transfers: int, direct_transfers: str = DIRECT_OFF) -> Part:
    """Return the artifact routes, with so many uploads at a time and as many downloads.

    `direct_transfers` is one of `DIRECT_TRANSFERS`.
    """
    serving = _ArtifactServing(transfers, direct_transfers)
    mounts = (
        asgi(prefix, is_mount=True, name=f"artifacts{number}", copy_scope=False)(serving)
        for number, prefix in enumerate(MOUNTS)
    )
    return Part(
        routes=tuple(mounts),
        names=tuple(sorted(set(OPERATIONS.values()))),
        group="artifacts",
        gauges=tuple(
            Gauge(
                name="registry_transfers",
                help="Artifacts that are moved, by direction as the server sees it.",
                read=read,
                labels={"direction": direction},
            )
            for direction, read in (("in", serving.uploads), ("out", serving.downloads))
        ),
        schemas=SCHEMAS,
        described=serving.described,
        start=serving.start,
        on_exit=(serving.close,),
    )


class _ArtifactServing:
    """Serves the artifacts of the registry that it is started with."""

    def __init__(self, transfers: int, direct_transfers: str) -> None:
        self._transfers = transfers
        self._direct = direct_transfers
        self._service: ArtifactService | None = None

    def start(self, registry: Registry) -> None:
        self._service = ArtifactService(
            registry, transfers=self._transfers, direct_transfers=self._direct
        )

    def described(self) -> Json:
        return {} if self._service is None else self._service.described()

    def uploads(self) -> int:
        return 0 if self._service is None else self._service.uploads

    def downloads(self) -> int:
        return 0 if self._service is None else self._service.downloads

    def close(self) -> None:
        if self._service is not None:
            self._service.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._service is not None, "an application is started before it is served"
        await self._service(scope, receive, send)
