"""The lists of models and of prompts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import attrs

from registry_core import Event, InvalidArgumentError, Page, RegisteredModel, Registry, histories
from registry_core.access.door import seen_key
from registry_core.history import Action
from registry_core.search import Entity, Filter
from registry_core.store import count_of
from registry_core.validation import REGISTERED_MODELS_MAX_RESULTS
from registry_core.wire import Json, payloads
from registry_core.wire import history as wire
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import finding

PAGE_SIZE = 25
"""Rows of a page: a screen's worth."""

CHANGES_READ = 200
"""Newest events that are looked through for who changed the models of a page last. Models whose
last change is older than all of them are shown without a name."""

COUNT_SECONDS = 10.0
"""How long a count is shown that was not made again: to count costs more than the page does."""

ORDERS = {
    "changed": "last_updated_timestamp DESC",
    "-changed": "last_updated_timestamp ASC",
    "name": "name ASC",
    "-name": "name DESC",
}
"""The orders of the list, as they stand in the address; the first is the usual one."""

_COUNTS_KEPT = 256


@attrs.frozen
class Count:
    """How many models match, or that there are more than are counted."""

    number: int
    is_bounded: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.is_bounded else ''}"


class _Counts:
    """Counts that were made lately, by registry and filter."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, Filter], tuple[float, Count]] = {}

    def of(self, registry: Registry, clauses: Filter) -> Count:
        key = seen_key(registry.store), clauses
        made = self._made.get(key)
        if made is None or time.monotonic() - made[0] > COUNT_SECONDS:
            while len(self._made) >= _COUNTS_KEPT:
                self._made.pop(next(iter(self._made)), None)
            made = self._made[key] = time.monotonic(), _counted(registry, clauses)
        return made[1]

    def forget(self) -> None:
        self._made.clear()


_counts = _Counts()


def forget_counts() -> None:
    """Count anew from now on: a form has changed what there is, and its sender looks."""
    _counts.forget()


def _counted(registry: Registry, clauses: Filter) -> Count:
    query = finding.query(
        Entity.REGISTERED_MODEL,
        clauses,
        order=ORDERS["name"],
        max_results=REGISTERED_MODELS_MAX_RESULTS,
        page_token=None,
    )
    number, is_bounded = count_of(registry.store, query)
    return Count(number, is_bounded=is_bounded)


def show(request: PageRequest, registry: Registry) -> View:
    """Return the models."""
    return _list(request, registry, "models", ())


def show_prompts(request: PageRequest, registry: Registry) -> View:
    """Return the prompts."""
    return _list(request, registry, "prompts", finding.PROMPTS)


def _list(request: PageRequest, registry: Registry, kind: str, only: Filter) -> View:
    text = request.query.get("q", "")
    search = finding.models(text)
    order = request.query.get("sort", "changed")
    if order not in ORDERS:
        raise InvalidArgumentError(f"There is no order '{order}': it is one of {', '.join(ORDERS)}")
    token = request.query.get("page") or None
    page: Page[RegisteredModel] = Page((), None)
    count = Count(0)
    changes: Mapping[str, Event] = {}
    if search.problem is None:
        condition = (*only, *search.filter)
        page = registry.store.search_registered_models(
            finding.query(
                Entity.REGISTERED_MODEL,
                condition,
                order=ORDERS[order],
                max_results=PAGE_SIZE,
                page_token=token,
            )
        )
        count = Count(len(page.items))
        if token is not None or page.next_page_token is not None:
            count = _counts.of(registry, condition)
        changes = last_changes(registry, page.items)
    context = {
        "kind": kind,
        "text": text,
        "wanted": search,
        "order": order,
        "token": token,
        "page": page,
        "count": count,
        "changes": changes,
        "by_tag": finding.by_tag,
    }
    return View(
        template="models.html", context=context, data=lambda: _data(page, count, search, changes)
    )


def last_changes(registry: Registry, models: Sequence[RegisteredModel]) -> Mapping[str, Event]:
    """Return each model's newest event among the newest of all, by name, in one call."""
    if not models:
        return {}
    since = min(model.last_updated_timestamp for model in models)
    query = histories.query(None, since=since, max_results=CHANGES_READ)
    newest: dict[str, Event] = {}
    for event in histories.page(registry.store, query, None).items:
        renamed = event.action in (Action.RENAME_MODEL, Action.RESTORE_MODEL)
        newest.setdefault(str(event.after) if renamed else event.name, event)
    return {model.name: newest[model.name] for model in models if model.name in newest}


def _data(
    page: Page[RegisteredModel],
    count: Count,
    search: finding.Search,
    changes: Mapping[str, Event],
) -> Json:
    if search.problem is not None:
        raise InvalidArgumentError(search.problem)
    return {
        **payloads.registered_models(page),
        "count": count.number,
        "count_is_bounded": count.is_bounded,
        "last_changes": [wire.encode_event(event) for event in changes.values()],
    }
