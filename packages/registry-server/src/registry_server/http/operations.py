"""The tables of operations: from them come the routes and the OpenAPI document.

A row says where it is served (a prefix, a method and a path), the class of the request, the
`Registry` call, and the shape of the answer. What makes a change, and no more, has its row in
`registry_core.wire.routes`. `REGISTRY_OPERATIONS` has what MLflow names
(contract 2), `own` has what its API cannot say. Rows of other modules are appended where
the application is made.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, Generic, TypeVar, cast

import attrs
from litestar.types import Method

from registry_core import ModelVersion, Page, RegisteredModel, Registry
from registry_core.access import Rights
from registry_core.changes import (
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.models import StageName
from registry_core.wire import requests
from registry_core.wire.prefixes import API, OWN_API
from registry_core.wire.routes import ROUTES, Returned, Route
from registry_server.http import response_shapes
from registry_server.http.response_shapes import ResponseShape

RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")

AJAX_API = "/ajax-api/2.0/mlflow"
"""The prefix by which MLflow's pages call the same operations."""

SEED_API = f"{API}/model-registry"
"""An older layout of the same routes, for registered models and model versions only."""

PREVIEW_API = "/api/2.0/preview/mlflow"
"""The prefix by which MLflow's clients before 2.0 call the same operations."""

_OLDER_PATHS = ("/registered-models/", "/model-versions/")
"""The beginnings of the paths that the older prefixes have."""


SHORT_BODY_BYTES = 2 * 1024 * 1024
"""The longest body of an operation: a text of 100,000 characters takes 1.4 MiB, if each is escaped
twice."""

LONG_BODY_BYTES = 8 * 1024 * 1024
"""The longest body of an operation with tags or a filter: the tags that an entity may have take
1 MiB in UTF-8, and up to six times as much in JSON."""


_SHORT_CHANGES = (
    *(CreateModel, CreateVersion, SetAlias, DeleteAlias),
    *(SetModelTag, DeleteModelTag, SetVersionTag, DeleteVersionTag),
)
"""Those whose answers are no longer than their requests, and that seldom wait but for the store."""


class Work(enum.Enum):
    """What an operation has a server do. Each kind has threads of its own."""

    READING = enum.auto()
    """It reads one entity, in a moment."""
    SEARCHING = enum.auto()
    """It may read much, and take seconds."""
    CHANGING = enum.auto()
    """It changes the model that its request names, and may have to wait for others that do."""
    WAITING = enum.auto()
    """It may take as long as some other host does."""


@attrs.frozen(kw_only=True)
class RequestContext:
    """What an operation is given besides its request."""

    registry: Registry
    user: str | None = None
    """The authenticated name, when the server authenticates."""
    rights: Rights | None = None
    """What the caller may do; None where everybody may do everything."""
    idempotency_key: str | None = None
    """Under which the client asks for a creation, so that it may ask again."""


@attrs.frozen(kw_only=True)
class Operation(Generic[RequestT, ResultT]):
    """One operation over HTTP.

    `path` is relative to `prefix`; `{name}` in it is a field of the request. `paths` are all the
    paths at which the operation is served.
    """

    id: str
    method: Method
    path: str
    request: type[RequestT]
    call: Callable[[RequestContext, RequestT], ResultT]
    answer: ResponseShape[ResultT]
    summary: str
    prefix: str = API
    work: Work = Work.CHANGING
    change: type[Change[Any]] | None = None
    """The change that it is about."""
    max_body_bytes: int = SHORT_BODY_BYTES

    @property
    def documented_path(self) -> str:
        """The path that the OpenAPI document names."""
        return self.prefix + self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that answers to the operation, the documented one first."""
        prefixes = [self.prefix]
        if self.prefix == API:
            prefixes.append(AJAX_API)
            if self.path.startswith(_OLDER_PATHS):
                prefixes += [SEED_API, PREVIEW_API]
        return tuple(prefix + self.path for prefix in prefixes)

    @property
    def group(self) -> str:
        """What operations of its kind are counted as: by MLflow's kind of entity, or as ours."""
        first = self.path.split("/")[1]
        return "own" if self.prefix == OWN_API and first != "webhooks" else first

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that call the operation: HEAD beside GET (RFC 9110, section 9.3.2)."""
        return (self.method, "HEAD") if self.method == "GET" else (self.method,)

    @property
    def has_query(self) -> bool:
        """Whether the request is read from the query, if there is one, else from the body."""
        return self.method == "GET"

    @property
    def changes_nothing(self) -> bool:
        """Whether the operation only reads, so that no author and no reason belong to it."""
        return self.work in (Work.READING, Work.SEARCHING)

    @property
    def may_run_in_loop(self) -> bool:
        """Whether a worker may run it in its event loop, where the store can read there."""
        return self.changes_nothing

    @property
    def changes_in_loop(self) -> bool:
        """Whether a worker may make its change in its event loop, where the store can."""
        return self.change in _SHORT_CHANGES


_RETURNED: Mapping[Returned, ResponseShape[Any]] = {
    Returned.NOTHING: response_shapes.NOTHING,
    Returned.MODEL: response_shapes.REGISTERED_MODEL,
    Returned.VERSION: response_shapes.MODEL_VERSION,
}


def operations_that_change(prefix: str) -> Iterator[Operation[Any, Any]]:
    """Yield the operations below a prefix that make a change of `wire.routes.ROUTES`."""
    for route in ROUTES.values():
        if route.prefix == prefix:
            yield Operation(
                id=route.id,
                prefix=prefix,
                method=route.method,
                path=route.path,
                request=route.request,
                call=_calling(route),
                answer=_RETURNED[route.returned],
                summary=route.summary,
                change=route.change,
                max_body_bytes=LONG_BODY_BYTES if route.has_long_body else SHORT_BODY_BYTES,
            )


def _calling(route: Route) -> Callable[[RequestContext, Any], Any]:
    """Calls the method of `Registry` with the fields of a request, and what else it takes.

    Raises:
        TypeError: The method does not take a field that is not ignored.
    """
    takes = signature(getattr(Registry, route.call)).parameters
    names = [each.name for each in attrs.fields(route.request) if each.name not in route.ignored]
    if unknown := [name for name in names if name not in takes]:
        raise TypeError(f"{route.id}: Registry.{route.call} does not take {', '.join(unknown)}")
    has_user, has_key = "user_id" in takes, "idempotency_key" in takes

    def call(context: RequestContext, request: Any) -> Any:
        arguments = {name: getattr(request, name) for name in names}
        if has_user:
            arguments["user_id"] = context.user
        if has_key:
            arguments["idempotency_key"] = context.idempotency_key
        return getattr(context.registry, route.call)(**arguments)

    return call


def _search_registered_models(
    context: RequestContext, request: requests.SearchRegisteredModels
) -> Page[RegisteredModel]:
    return context.registry.search_registered_models(
        request.filter,
        order_by=request.order_by,
        max_results=request.max_results,
        page_token=request.page_token,
    )


def _search_model_versions(
    context: RequestContext, request: requests.SearchModelVersions
) -> Page[ModelVersion]:
    return context.registry.search_model_versions(
        request.filter,
        order_by=request.order_by,
        max_results=request.max_results,
        page_token=request.page_token,
    )


def _get_latest_versions(
    context: RequestContext, request: requests.GetLatestVersions
) -> tuple[ModelVersion, ...]:
    return context.registry.get_latest_versions(
        request.name, stages=cast("tuple[StageName, ...]", request.stages)
    )


_REGISTERED_MODELS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="getRegisteredModel",
        method="GET",
        path="/registered-models/get",
        request=requests.GetRegisteredModel,
        call=lambda context, request: context.registry.get_registered_model(request.name),
        answer=response_shapes.REGISTERED_MODEL,
        summary="Get a registered model with its newest versions.",
        work=Work.READING,
    ),
    Operation(
        id="searchRegisteredModels",
        method="GET",
        path="/registered-models/search",
        request=requests.SearchRegisteredModels,
        call=_search_registered_models,
        answer=response_shapes.REGISTERED_MODELS,
        summary="Search registered models.",
        work=Work.SEARCHING,
        max_body_bytes=LONG_BODY_BYTES,
    ),
    Operation(
        id="getLatestVersions",
        method="POST",
        path="/registered-models/get-latest-versions",
        request=requests.GetLatestVersions,
        call=_get_latest_versions,
        answer=response_shapes.LATEST_VERSIONS,
        summary="Get the newest version of each stage.",
        work=Work.READING,
    ),
    Operation(
        id="getLatestVersionsByQuery",
        method="GET",
        path="/registered-models/get-latest-versions",
        request=requests.GetLatestVersions,
        call=_get_latest_versions,
        answer=response_shapes.LATEST_VERSIONS,
        summary="Get the newest version of each stage.",
        work=Work.READING,
    ),
    Operation(
        id="getModelVersionByAlias",
        method="GET",
        path="/registered-models/alias",
        request=requests.GetModelVersionByAlias,
        call=lambda context, request: context.registry.get_model_version_by_alias(
            request.name, request.alias
        ),
        answer=response_shapes.MODEL_VERSION,
        summary="Get the model version that an alias names.",
        work=Work.READING,
    ),
)

_MODEL_VERSIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="getModelVersion",
        method="GET",
        path="/model-versions/get",
        request=requests.GetModelVersion,
        call=lambda context, request: context.registry.get_model_version(
            request.name, request.version
        ),
        answer=response_shapes.MODEL_VERSION,
        summary="Get a model version.",
        work=Work.READING,
    ),
    Operation(
        id="searchModelVersions",
        method="GET",
        path="/model-versions/search",
        request=requests.SearchModelVersions,
        call=_search_model_versions,
        answer=response_shapes.MODEL_VERSIONS,
        summary="Search model versions.",
        work=Work.SEARCHING,
        max_body_bytes=LONG_BODY_BYTES,
    ),
    Operation(
        id="getModelVersionDownloadUri",
        method="GET",
        path="/model-versions/get-download-uri",
        request=requests.GetModelVersionDownloadUri,
        call=lambda context, request: context.registry.get_model_version_download_uri(
            request.name, request.version
        ),
        answer=response_shapes.ARTIFACT_URI,
        summary="Get the URI of a model version's artifacts.",
        work=Work.READING,
    ),
)

REGISTRY_OPERATIONS = (*operations_that_change(API), *_REGISTERED_MODELS, *_MODEL_VERSIONS)
"""The 22 operations on registered models and model versions."""
