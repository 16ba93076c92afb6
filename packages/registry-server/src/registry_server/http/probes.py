"""The routes beside the registry: is it up, what is it, how does it fare (contract 1.7)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus

import attrs
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from registry_core import Registry, RegistryError
from registry_core.artifacts import PresigningArtifactStore
from registry_core.idempotency import keeps_idempotency_keys
from registry_core.wire import Json
from registry_core.wire.prefixes import IDEMPOTENCY_FEATURE
from registry_server.http import responses
from registry_server.http.exposition import CONTENT_TYPE
from registry_server.http.metrics import Metrics
from registry_server.http.middleware import METRICS, SERVER_INFO
from registry_server.http.parts import Part
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.process.settings import DIRECT_OFF, DIRECT_ONLY
from registry_server.process.threads import Threads

MLFLOW_VERSION = "3.17.2"
"""The release whose REST API this server speaks: what clients compare with their own."""

READY_SECONDS = 5.0
"""How long `/ready` waits for the store before it says no."""

NOT_READY = "The store is not ready; the server's log has the reason."
"""All that `/ready` says then: the client has shown no credentials, and a driver's words name
hosts, users and databases."""

REASON_LOGGED_SECONDS = 10.0
"""How often the reason is logged: any client may ask, as often as it likes."""

_logger = logging.getLogger("registry_server")

SERVER_INFO_BODY: Json = {
    # The tracking store, which this server does not have.
    "store_type": None,
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
    # Since 3.18.0. A server that keeps no skills takes none, of no size.
    "tracking_auth": "",
    "model_artifact_presigned_downloads_supported": False,
    "skill_content_max_size": 0,
    "skill_content_max_files": 0,
}
"""What does not depend on the registry that is served."""


def probe_part(
    metrics: Metrics, document: Callable[[], Json], *, direct_transfers: str = DIRECT_OFF
) -> Part:
    """Return the probe routes.

    `document` makes the OpenAPI document of an application that has started.

    It is made for the first request, since few workers ever get one.
    """
    probes = _Probes(direct_transfers)

    @cache
    def openapi() -> Response:
        return responses.success(document())

    routes = (
        _route("health", ["/health"], lambda: responses.text("OK")),
        _route("version", ["/version"], _version),
        _route("server_info", sorted(SERVER_INFO), probes.server_info),
        HTTPRouteHandler(
            [METRICS], http_method=["GET", "HEAD"], status_code=HTTPStatus.OK, name="metrics"
        )(probes.metrics_of(metrics)),
        _route("openapi", ["/openapi.json"], openapi),
        HTTPRouteHandler(
            ["/ready"], http_method=["GET", "HEAD"], status_code=HTTPStatus.OK, name="ready"
        )(probes.ready),
    )
    return attrs.evolve(NAMED, routes=routes, start=probes.start, on_exit=(probes.close,))


class _Probes:
    """The probes that ask the registry."""

    def __init__(self, direct_transfers: str) -> None:
        self._direct = direct_transfers
        self._threads = Threads(1, name="ready")
        self._scraping = Threads(1, name="metrics")
        self._reasons = _Reasons()

    def start(self, registry: Registry) -> None:
        self._registry = registry
        # Whether artifacts may go past the server, by presigned URLs. Clients of MLflow 3.18 take
        # that way wherever the server offers it, and no other one if the bucket is out of reach.
        presigns = isinstance(registry.artifacts, PresigningArtifactStore)
        is_multipart = presigns and self._direct != DIRECT_OFF
        is_only = {"artifacts_presigned_only": True} if self._direct == DIRECT_ONLY else {}
        self._info = responses.success(
            {
                **SERVER_INFO_BODY,
                "artifact_serving_enabled": registry.artifacts is not None,
                **is_only,
                "multipart_uploads_enabled": is_multipart,
                "multipart_downloads_enabled": is_multipart,
                IDEMPOTENCY_FEATURE: keeps_idempotency_keys(registry.store),
            }
        )

    def close(self) -> None:
        self._threads.close()
        self._scraping.close()

    def metrics_of(self, metrics: Metrics) -> Callable[[], Awaitable[ASGIApp]]:
        """Return the handler of `/metrics`.

        It reads the files of all workers, so it has a thread.
        """

        async def handle() -> ASGIApp:
            return responses.text(await self._scraping.run(metrics.text), CONTENT_TYPE)

        return handle

    def server_info(self) -> Response:
        return self._info

    async def ready(self) -> ASGIApp:
        try:
            await asyncio.wait_for(self._threads.run(self._registry.ping), READY_SECONDS)
        except (RegistryError, TimeoutError) as error:
            self._reasons.log(error)
            return RequestRefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", NOT_READY
            ).reply()
        return responses.text("OK")


NAMED = Part(
    names=("health", "version", "server_info", "metrics", "openapi", "ready"), group="probes"
)
"""The probes as they are counted; their routes are made with what counts."""


def _route(name: str, paths: list[str], answer: Callable[[], Response]) -> HTTPRouteHandler:
    async def handle() -> ASGIApp:
        return answer()

    return HTTPRouteHandler(
        paths, http_method=["GET", "HEAD"], status_code=HTTPStatus.OK, name=name
    )(handle)


def _version() -> Response:
    return responses.text(MLFLOW_VERSION, "text/html; charset=utf-8")


class _Reasons:
    """Logs why the store is not ready, once in a while."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def log(self, error: Exception) -> None:
        reason = str(error) or f"it did not answer within {READY_SECONDS:.0f} seconds"
        now = time.monotonic()
        if now - self._logged_at >= REASON_LOGGED_SECONDS:
            self._logged_at = now
            _logger.warning("the store is not ready: %s", reason)
