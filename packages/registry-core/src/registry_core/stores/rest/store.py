"""A `Store` that asks a server which speaks MLflow's REST API."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import attrs

from registry_core import wire
from registry_core.authors import Author
from registry_core.changes import Change, CreateModel, CreateVersion
from registry_core.errors import (
    InvalidArgumentError,
    NotFoundError,
    StoreCorruptedError,
)
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery, place_of
from registry_core.idempotency import new_key
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.pruning import Pruned
from registry_core.search import (
    AttributeRef,
    Comparison,
    CutPage,
    Entity,
    Op,
    Page,
    Query,
    paging,
    parse_order_by,
    render_filter,
    render_order_by,
    split_prompts,
)
from registry_core.search.page_sizes import FEWEST_ROWS
from registry_core.store import Clock, system_clock
from registry_core.stores.rest import offsets
from registry_core.stores.rest.address import parse_address
from registry_core.stores.rest.answers import (
    aliased,
    complete,
    model_of,
    version_of,
)
from registry_core.stores.rest.routes import refuse, route_of
from registry_core.stores.rest.snapshots import RestSnapshots, in_pieces
from registry_core.stores.rest.transport import (
    ResponseTooLargeError,
    Transport,
    call_end,
)
from registry_core.stores.rest.webhooks import next_page, wire_list
from registry_core.wire import requests
from registry_core.wire.history import PruneModelHistory, decode_event
from registry_core.wire.prefixes import OWN_API, own_path

SMALLER_PAGE = 10
"""How many times smaller the page is that is asked for when one was too much for an answer."""

SHORT_PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of an answer, where many are read one after the other, and some at once. A page of
`FEWEST_ROWS` may have as many as any answer."""

MODELS_PER_SEARCH = 100
"""Registered models asked for in one search, when their aliases are wanted."""

_logger = logging.getLogger(__name__)

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)
ResultT = TypeVar("ResultT")
T = TypeVar("T")


def open_store(url: str, *, clock: Clock = system_clock) -> RestStore:  # noqa: ARG001 the server's
    """Return the store behind `http(s)://[user:password@]host[:port][/prefix]`.

    Connects on first use.

    Without credentials in the URL, those in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD
    are used, or else MLFLOW_TRACKING_TOKEN. Timestamps come from the server's clock, not `clock`.

    Raises:
        InvalidUrlError: the URL is not the address of a server.
    """
    return RestStore(Transport(parse_address(url, os.environ)))


class RestStore(RestSnapshots):
    """A `Store` on a server, with what the wire can carry.

    It keeps the promises that its server keeps; MLflow's server breaks some under concurrency.
    What MLflow's API has no way to say differs from other stores:

    - The server takes no `user_id` or `deployment_job_id`, and a text that was never given comes
      back empty.
    - A version cannot be reserved, finalized, relocated, or given a storage location: those raise
      `UnsupportedBackendError`. Where a version's bytes are is the server's to say; it is asked
      when one version is read, and not for each of a page.
    - A search leaves out prompts unless the filter asks for them.
    - A webhook's id is the server's choice, and its secret is not set here.
    """

    checks_webhooks = True
    """The server says which URLs and secrets webhooks may have; see `webhooks.environment`."""

    def ping(self) -> None:
        """Return when the server answers; raises `StoreUnavailableError` when it does not."""
        self._http.ping()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`. The reason is sent along; who makes the change, the server says.

        A creation always has an idempotency key, so that it can be sent again when its answer is
        lost, if the server keeps such keys. A model that is too large for a request is sent as the
        lines of an export.
        """
        large = in_pieces(change)
        if large is not None:
            return cast("ResultT", self._restore_large(large))
        route = route_of(change)
        fields = wire.encode_request(route.request(change))
        result = partial(route.result, change)
        made: ResultT = self._http.write(
            route.method,
            route.path,
            fields,
            result,
            name=change.model,
            reason=by.reason,
            idempotency_key=_key_of(change),
        )
        return made

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`.

        Raises:
            UnsupportedBackendError: the server is MLflow's, which keeps no history.
        """
        path = f"{OWN_API}/activity"
        if query.name is not None:
            path = own_path(query.name, "history")
        events: list[Event] = []
        while True:
            # Who makes pages asks for one event more than the server gives at a time.
            most = min(query.max_results - len(events), EVENTS_MAX_RESULTS)
            query_fields = _event_fields(attrs.evolve(query, max_results=most))
            answered = self._http.read(path, query_fields, _events, name=query.name or "")
            events += answered
            if len(answered) < most or len(events) >= query.max_results:
                return events
            query = attrs.evolve(query, after=place_of(answered[-1]))

    def prune_history(self, name: str, *, before: int, dry_run: bool, by: Author) -> Pruned:
        """See `pruning.prune`. The server says who does it.

        Raises:
            UnsupportedBackendError: the server is MLflow's, which keeps no history.
        """
        fields = wire.encode_request(PruneModelHistory(name=name, before=before, dry_run=dry_run))
        path = own_path(name, "history", "prune")
        return self._http.write("POST", path, fields, _pruned, name=name, reason=by.reason)

    def whoami(self) -> wire.Json:
        """Return who the caller is to the server, and what the caller may do.

        Raises:
            UnsupportedBackendError: the server is MLflow's, which does not say.
        """
        return self._http.read(f"{OWN_API}/whoami", {}, _caller)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        request = requests.GetRegisteredModel(name=name)
        return self._read("/registered-models/get", request, model_of)

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        return self._search_models(query, call_end())

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        request = requests.GetModelVersion(name=name, version=str(version))
        end = call_end()
        return self._located(self._read("/model-versions/get", request, version_of, end=end), end)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        end = call_end()
        page = self._search_versions(query, end)
        return attrs.evolve(page, items=self._with_aliases(page.items, end))

    def search_versions_alone(self, query: Query) -> Page[ModelVersion]:
        """See `snapshot_reading.SearchesVersionsAlone`."""
        return self._search_versions(query, call_end(), most=SHORT_PAGE_BYTES)

    def models_page(self, query: Query) -> Page[RegisteredModel]:
        """See `mlflow_pages.GivesRowsFrom`."""
        return self._search_models(query, call_end(), most=SHORT_PAGE_BYTES)

    def models_from(self, query: Query, start: int) -> Page[RegisteredModel]:
        """See `mlflow_pages.GivesRowsFrom`."""
        return offsets.page_from(self.models_page, query, start)

    def versions_from(self, query: Query, start: int) -> Page[ModelVersion]:
        """See `mlflow_pages.GivesRowsFrom`."""
        return offsets.page_from(self.search_versions_alone, query, start)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        request = requests.GetModelVersionByAlias(name=name, alias=alias)
        end = call_end()
        return self._located(
            self._read("/registered-models/alias", request, version_of, end=end), end
        )

    # Requests

    def _read(
        self,
        path: str,
        request: Any,
        decode: Callable[[wire.Json], T],
        *,
        end: float | None = None,
    ) -> T:
        fields = wire.encode_request(request)
        return self._http.read(path, fields, decode, name=request.name, end=end)

    def _search_models(
        self, query: Query, end: float, *, most: int | None = None
    ) -> Page[RegisteredModel]:
        path = "/registered-models/search"
        return self._search(path, requests.SearchRegisteredModels, query, _models, end, most=most)

    def _search_versions(
        self, query: Query, end: float, *, most: int | None = None
    ) -> Page[ModelVersion]:
        path = "/model-versions/search"
        return self._search(path, requests.SearchModelVersions, query, _versions, end, most=most)

    def _search(
        self,
        path: str,
        request: Callable[..., Any],
        query: Query,
        decode: Callable[[wire.Json], Page[EntityT]],
        end: float,
        *,
        most: int | None,
    ) -> Page[EntityT]:
        """A page; one of fewer rows than asked for where those are too much for one answer."""
        if split_prompts(query.filter) != (query.filter, query.exclude_prompts):
            refuse("search models and prompts at once")
        wanted = query.max_results
        while True:
            asked = request(
                filter=render_filter(query.filter) or None,
                max_results=query.max_results,
                order_by=tuple(render_order_by(query.order_by)),
                page_token=query.page_token,
            )
            fields = wire.encode_request(asked)
            of_query = partial(_page_for, query, decode)
            limit = most if query.max_results > FEWEST_ROWS else None
            try:
                page = self._http.read(path, fields, of_query, end=end, most=limit)
            except ResponseTooLargeError:
                if query.max_results == 1:
                    raise
                fewest = 1 if limit is None else FEWEST_ROWS
                rows = max(fewest, query.max_results // SMALLER_PAGE)
                query = attrs.evolve(query, max_results=rows)
            else:
                return page if query.max_results == wanted else CutPage.of(page)

    # What MLflow's answers leave out

    def located(self, version: ModelVersion) -> ModelVersion:
        """See `snapshot_reading.Locates`."""
        return self._located(version, call_end())

    def _located(self, version: ModelVersion, end: float) -> ModelVersion:
        """The version with the place of its bytes, where that is not its source."""
        request = requests.GetModelVersionDownloadUri(
            name=version.name, version=str(version.version)
        )
        uri = self._read("/model-versions/get-download-uri", request, _artifact_uri, end=end)
        if uri is None or uri == version.source:
            return version
        return attrs.evolve(version, storage_location=uri)

    def _with_aliases(self, versions: Sequence[ModelVersion], end: float) -> Sequence[ModelVersion]:
        """The versions of a page with their aliases.

        Strategy: our server sends them; MLflow's search has none (contract 2.18). If no version of
        the page has an alias, their models tell: a request for every `MODELS_PER_SEARCH` of them.
        """
        if any(version.aliases for version in versions):
            return versions
        names = sorted({version.name for version in versions})
        aliases = {model.name: model.aliases for model in self._models(names, end)}
        return [aliased(version, aliases.get(version.name, {})) for version in versions]

    def _models(self, names: Sequence[str], end: float) -> Iterator[RegisteredModel]:
        for start in range(0, len(names), MODELS_PER_SEARCH):
            batch = names[start : start + MODELS_PER_SEARCH]
            by_name = {model.name: model for model in self._models_at_once(batch, end)}
            yield from by_name.values()
            # Prompts, and models deleted since; the latter have no aliases to tell.
            for name in batch:
                if name not in by_name:
                    yield from self._model_if_any(name, end)

    def _models_at_once(self, names: Sequence[str], end: float) -> Iterable[RegisteredModel]:
        if len(names) == 1:
            return ()
        query = Query(
            entity=Entity.REGISTERED_MODEL,
            filter=(Comparison(AttributeRef("name"), Op.IN, tuple(names)),),
            order_by=parse_order_by((), Entity.REGISTERED_MODEL),
            max_results=len(names),
            exclude_prompts=True,
        )
        try:
            return self._search_models(query, end).items
        except InvalidArgumentError:
            return ()  # MLflow before 3.12 has no IN for names

    def _model_if_any(self, name: str, end: float) -> Iterator[RegisteredModel]:
        request = requests.GetRegisteredModel(name=name)
        try:
            yield self._read("/registered-models/get", request, model_of, end=end)
        except NotFoundError:
            return


def _key_of(change: Change[Any]) -> str | None:
    if change.idempotency is not None:
        return change.idempotency.key
    return new_key() if isinstance(change, CreateModel | CreateVersion) else None


_MODELS = "registered_models"
_VERSIONS = "model_versions"


def _caller(answer: wire.Json) -> wire.Json:
    match answer:
        case {"groups": [*groups], "is_restricted": bool(), "grants": [*grants]} if (
            isinstance(answer.get("name"), str | None)
            and all(isinstance(each, str) for each in groups)
            and all(isinstance(each, dict) and each.keys() >= _GRANT for each in grants)
        ):
            return answer
    raise StoreCorruptedError("The answer does not say who the caller is.")


_GRANT = frozenset({"role", "permissions", "models", "aliases", "place"})


def _event_fields(query: EventQuery) -> dict[str, Any]:
    fields = {
        "model_id": query.model_id,
        "alias": query.alias,
        "version": query.version,
        "action": sorted(query.actions),
        "since": query.since,
        "until": query.until,
        "order": None if query.newest_first else "oldest_first",
        "max_results": query.max_results,
        "page_token": None if query.after is None else paging.encode([*query.after]),
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _events(answer: wire.Json) -> list[Event]:
    return [decode_event(item) for item in wire_list(answer, "events")]


def _pruned(answer: wire.Json) -> Pruned:
    match answer:
        case {"removed": int(removed), "added": int(added), "first": int(first)}:
            return Pruned(removed=removed, added=added, first=first)
    raise StoreCorruptedError("The answer does not say what was pruned.")


def _artifact_uri(answer: wire.Json) -> str | None:
    uri = answer.get("artifact_uri")
    if uri is not None and not isinstance(uri, str):
        raise StoreCorruptedError("The answer's artifact_uri is not a text.")
    return uri


def _models(answer: wire.Json) -> Page[RegisteredModel]:
    items = [complete(wire.decode_registered_model(item)) for item in wire_list(answer, _MODELS)]
    return Page(items, next_page(answer), _unreadable(answer))


def _versions(answer: wire.Json) -> Page[ModelVersion]:
    items = [wire.decode_model_version(item) for item in wire_list(answer, _VERSIONS)]
    return Page(items, next_page(answer), _unreadable(answer))


def _page_for(
    query: Query, decode: Callable[[wire.Json], Page[EntityT]], answer: wire.Json
) -> Page[EntityT]:
    """The page in an answer, if it is one that the query asks for."""
    page = decode(answer)
    if len(page.items) > query.max_results:
        raise StoreCorruptedError(
            f"{len(page.items)} rows where at most {query.max_results} were asked for."
        )
    if page.next_page_token is not None and page.next_page_token == query.page_token:
        raise StoreCorruptedError("A page is followed by itself.")
    return page


def _unreadable(answer: wire.Json) -> int:
    count = answer.get("unreadable")
    if type(count) is not int or count <= 0:
        return 0
    _logger.warning("The server cannot read %d of its registered models: they are missing", count)
    return count
