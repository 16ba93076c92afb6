"""The application: `create_app` puts the table of operations on HTTP.

Litestar routes, and sees neither requests nor entities: it would encode and coerce them in its own
way.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from litestar import Litestar, Request
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler, asgi
from litestar.handlers.asgi_handlers import ASGIRouteHandler
from litestar.response import Response as LitestarResponse
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from registry_core import Registry, RegistryError
from registry_core.wire import Json
from registry_server.access.rules import Access
from registry_server.artifacts import artifact_part
from registry_server.http import declarations, openapi, own, probes, responses, tracing
from registry_server.http.metrics import Metrics
from registry_server.http.middleware import OPERATION, Middleware
from registry_server.http.operations import Operation
from registry_server.http.own import ALL_OPERATIONS
from registry_server.http.parts import Backend, Part
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.http.serving import Lanes, Served
from registry_server.http.snapshot_uploads import snapshot_part
from registry_server.http.watching import Watching
from registry_server.pages import serving as page_serving
from registry_server.pages import signin
from registry_server.process.connections import Connections
from registry_server.process.limits import Limits
from registry_server.process.settings import Settings, SettingsError
from registry_server.webhooks import WebhookServing

_logger = logging.getLogger("registry_server")


def create_app(
    registry: Registry,
    settings: Settings | None = None,
    *,
    operations: Sequence[Operation[Any, Any]] = ALL_OPERATIONS,
) -> Application:
    """Return an ASGI application that serves the registry. The caller closes the registry.

    Raises:
        SettingsError: the file of who may call cannot be used, or this process may open too few
            files.
        InvalidArgumentError: the key for secrets of webhooks is not one.
    """
    app = compose(settings or Settings(), operations=operations)
    app.start(registry)
    return app


def compose(
    settings: Settings, *, operations: Sequence[Operation[Any, Any]] = ALL_OPERATIONS
) -> Application:
    """Return an application that serves no registry yet: see `Application.start`.

    Raises:
        SettingsError: as `create_app`.
        InvalidArgumentError: as `create_app`.
    """
    serving_webhooks = WebhookServing(settings)
    webhooks = serving_webhooks.part
    direct = settings.direct_transfers
    artifacts = artifact_part(transfers=Limits.of(settings).transfers, direct_transfers=direct)
    operations = (*operations, *webhooks.operations)
    uploads = snapshot_part()
    access = Access.of(settings)
    pages = (
        Part()
        if settings.no_pages
        else page_serving.page_part(settings, serving_webhooks.own_handlers)
    )
    has_sign_in = access is not None and access.has_sessions and not settings.no_pages
    signing = signin.signin_part(settings, access) if access is not None and has_sign_in else Part()
    lanes = Lanes(settings.threads)
    watching = Watching(
        operations,
        (artifacts, uploads, pages, signing, probes.NAMED),
        gauges=lanes.gauges(),
        mlflow_version=probes.MLFLOW_VERSION,
    )
    document = partial(_document, operations, (webhooks, artifacts, uploads))
    probing = probes.probe_part(watching.metrics, document, direct_transfers=direct)
    declarations.check_all(operation.id for operation in operations)
    serving, threads, paths = _operation_parts(operations, settings, lanes, watching)
    # They end in this order: webhooks after the last event, and before what waits for receivers.
    asking = () if access is None else (_access_part(access),)
    parts = (*asking, serving, probing, artifacts, uploads, pages, signing, webhooks, threads)
    routes = [route for part in parts if part is not serving for route in part.routes]
    declarations.check_all(map(declarations.declared_name, routes))
    readable = _readable(settings, has_sign_in=has_sign_in)
    guarded = partial(
        _guarded, metrics=watching.metrics, settings=settings, access=access, readable=readable
    )
    return Application(parts, watching, guarded, readable, paths)


class Application(Litestar):
    """Litestar, for one registry, which it serves from `start` on."""

    def __init__(
        self,
        parts: Sequence[Part],
        watching: Watching,
        guarded: Callable[[ASGIApp], Middleware],
        readable: Callable[[HTTPScope, Response], Response],
        paths: Mapping[str, _Path],
    ) -> None:
        self._parts = parts
        self._watching = watching
        self._has_started = False
        super().__init__(
            route_handlers=[route for part in parts for route in part.routes],
            exception_handlers={
                HTTPException: partial(_http_failure, readable),
                Exception: _failure,
            },
            openapi_config=None,
            logging_config=None,
            on_shutdown=[call for part in parts for call in part.on_exit],
        )
        # Around the router, not inside it: what it refuses by itself is guarded and counted too.
        dispatch = _Dispatch(self.asgi_handler, paths)
        self.asgi_handler = self._middleware = guarded(dispatch)

    def start(self, registry: Registry, *, counters: Path | None = None) -> None:
        """Serve the registry from now on, in this process: once, since nothing is exchanged later.

        Requests are counted in the directory `counters`, which the workers of a server share.

        Raises:
            RuntimeError: it serves one already.
        """
        if self._has_started:
            raise RuntimeError("this application serves a registry already")
        self._has_started = True
        if counters is not None:
            self._watching.metrics.share(counters)
        for part in self._parts:
            part.start(registry)
        if tracing.is_wanted(os.environ):
            self._middleware.trace, end = tracing.start()
            self.on_shutdown.append(end)

    def watch(self, connections: Connections) -> None:
        """Show these connections, too, in `/metrics`."""
        self._watching.watch(connections)

    def reload(self) -> None:
        """Have each part read its files again. One that cannot keeps what it had; the log says why.

        To be called in the thread of the event loop, or where no event loop runs.
        """
        for call in (call for part in self._parts for call in part.on_reload):
            try:
                call()
            except (RegistryError, SettingsError, OSError) as error:
                _logger.error("what was to be read again is not used: %s", error)  # noqa: TRY400 it says it all
            except Exception:
                _logger.exception("what was to be read again is not used")

    @staticmethod
    def _get_default_plugins(plugins: list[Any]) -> list[Any]:
        # Plugins for other libraries, which no handler here has a use for. Where pydantic is
        # installed, as it is beside MLflow, they load it: a third of the time to the first answer.
        # Should this method go away, so does what it saves, and nothing else.
        return plugins


def _access_part(access: Access) -> Part:
    """What keeps to the access file while a registry is served."""
    return Part(
        start=lambda registry: access.start(registry.gates),
        on_reload=(access.look,) if access.has_sessions else (),
        on_exit=(access.close,),
    )


def _operation_parts(
    operations: Sequence[Operation[Any, Any]],
    settings: Settings,
    lanes: Lanes,
    watching: Watching,
) -> tuple[Part, Part, Mapping[str, _Path]]:
    """The part that serves operations, the one with the threads that end last, and fixed paths."""
    backend, metrics = Backend(), watching.metrics
    served = [
        Served(operation, backend, lanes, settings, observe=metrics.observe, stored=metrics.stored)
        for operation in operations
    ]

    def start(registry: Registry) -> None:
        backend.start(registry, threads=settings.threads)
        watching.start(registry)

    paths = _paths(served)
    return (
        Part(
            routes=tuple(_route(list(where), path) for where, path in paths.items()),
            start=start,
            on_exit=(backend.end_changes, lanes.close),
        ),
        Part(on_exit=(lanes.waiting.close, backend.close)),
        {path: app for where, app in paths.items() for path in where if "{" not in path},
    )


def _document(operations: Sequence[Operation[Any, Any]], others: Iterable[Part]) -> Json:
    schemas: Json = {**own.SCHEMAS}
    paths: Json = {}
    for part in others:
        schemas.update(part.schemas)
        paths.update(part.described())
    return openapi.document(operations, schemas=schemas, others=paths)


def _readable(
    settings: Settings, *, has_sign_in: bool
) -> Callable[[HTTPScope, Response], Response]:
    """What turns a refusal into a response that the client can read."""
    if settings.no_pages:
        return lambda _, refusal: refusal
    return signin.readable if has_sign_in else page_serving.readable


def _guarded(
    app: ASGIApp,
    *,
    metrics: Metrics,
    settings: Settings,
    access: Access | None,
    readable: Callable[[HTTPScope, Response], Response],
) -> Middleware:
    return Middleware(
        app,
        metrics=metrics,
        access=access,
        allowed_hosts=settings.known_hosts,
        allowed_origins=settings.allowed_origins,
        local_origins=settings.is_local,
        trusted_proxies=settings.trusted_proxies,
        metrics_port=settings.metrics_address and settings.metrics_address[1],
        readable=readable,
    )


class _Path:
    """The ASGI application of the operations that have one path, and differ in their methods."""

    def __init__(self, served: Iterable[Served]) -> None:
        self._served: dict[str, Served] = {}
        for one in served:
            self._served.update(dict.fromkeys(one.operation.methods, one))
        self.methods = sorted({*self._served, "OPTIONS"})
        self._allow = ", ".join(self.methods)
        self._options = Response(HTTPStatus.NO_CONTENT, b"", ((b"allow", self._allow.encode()),))

    def served(self, method: str) -> Served | None:
        """Return the operation that a method asks for, if there is one."""
        return self._served.get(method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            MethodNotAllowedException: no operation here has its method.
        """
        assert scope["type"] == ScopeType.HTTP, "the server speaks nothing else"
        served = self.served(scope["method"])
        if served is not None:
            scope["state"][OPERATION] = served.operation.id
            reply = await served.reply(scope, receive)
        elif scope["method"] == "OPTIONS":
            reply = self._options
        else:
            raise MethodNotAllowedException(headers={"Allow": self._allow})
        await reply(scope, receive, send)


class _Dispatch:
    """Has the operation answer whose path is asked for, and the router all else.

    Strategy: the router's way to a handler, and around it, costs a tenth of a read. An operation
    whose path has nothing variable in it needs none of that: no parameters to find, and no failure
    that is not an answer already.
    """

    def __init__(self, router: ASGIApp, paths: Mapping[str, _Path]) -> None:
        self._router = router
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = self._paths.get(scope["path"])
        served = None
        if path is not None and scope["type"] == ScopeType.HTTP and not scope.get("root_path"):
            served = path.served(scope["method"])
        if served is None or scope["type"] != ScopeType.HTTP:
            await self._router(scope, receive, send)
            return
        scope["path_params"] = {}
        scope["state"][OPERATION] = served.operation.id
        try:
            reply = await served.reply(scope, receive)
        except Exception as error:  # noqa: BLE001 as for the router: every failure is an answer
            reply = responses.failure(error, scope)
        await reply(scope, receive, send)


def _paths(served: Iterable[Served]) -> Mapping[tuple[str, ...], _Path]:
    """The applications of the operations, by the paths of each."""
    together: dict[tuple[str, ...], list[Served]] = {}
    for one in served:
        together.setdefault(one.operation.paths, []).append(one)
    return {where: _Path(operations) for where, operations in together.items()}


def _route(where: list[str], app: _Path) -> ASGIRouteHandler | HTTPRouteHandler:
    if not any("{" in path for path in where):
        return asgi(where, copy_scope=False)(app)

    # Litestar finds no parameters in the path of a plain ASGI handler.
    async def handle() -> ASGIApp:
        return app

    return HTTPRouteHandler(
        [path.replace("}", ":str}") for path in where],
        http_method=[HttpMethod(method) for method in app.methods],
        status_code=HTTPStatus.OK,
    )(handle)


class _FinishedResponse(LitestarResponse[bytes]):
    """A reply in the type that Litestar wants from exception handlers."""

    def __init__(self, reply: Response) -> None:
        super().__init__(reply.body)
        self._reply = reply

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        return self._reply


def _failure(request: Request[Any, Any, Any], error: Exception) -> LitestarResponse[bytes]:
    return _FinishedResponse(responses.failure(error, request.scope))


def _http_failure(
    readable: Callable[[HTTPScope, Response], Response],
    request: Request[Any, Any, Any],
    error: HTTPException,
) -> LitestarResponse[bytes]:
    """What Litestar itself refuses: an unknown path, a wrong method, an impossible request."""
    method, path = request.scope["method"], request.scope["path"]
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            code, message = "ENDPOINT_NOT_FOUND", f"There is no endpoint at {path}{_hint(path)}"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            code, message = "ENDPOINT_NOT_FOUND", f"There is no endpoint for {method} {path}"
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            code, message = "BAD_REQUEST", error.detail
        case _:
            return _failure(request, error)
    headers = tuple(
        (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    refused = RequestRefusedError(error.status_code, code, message, headers=headers)
    return _FinishedResponse(readable(request.scope, refused.reply()))


_TRACKING = re.compile(
    r"/(?:ajax-)?api/[23]\.0/mlflow/"
    r"(?:runs|experiments|metrics|traces|logged-models|datasets|assessments|scorers)\b"
)
"""Paths of MLflow's tracking, which a client asks for that takes this for a tracking server."""


def _hint(path: str) -> str:
    """What somebody has to do who asks a registry for runs."""
    if _TRACKING.match(path) is None:
        return ""
    return (
        ": this server is a model registry and keeps no runs. Name it to MLflow with "
        "set_registry_uri (MLFLOW_REGISTRY_URI), and a tracking server with set_tracking_uri."
    )
