"""The page of a registered model: what is in use, its versions, its history, its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from registry_core import (
    Event,
    InvalidArgumentError,
    ModelVersion,
    Page,
    RegisteredModel,
    Registry,
    Stage,
    histories,
)
from registry_core.history import ALIAS_ACTIONS
from registry_core.search import Entity
from registry_core.wire import payloads
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import finding, timeline

PAGE_SIZE = 25
"""Versions of a page."""

MOVES_READ_FIRST = 25
"""Newest changes of aliases that are read for when each was moved last. Mostly they have them all;
to read more of them costs what the rest of the page does."""

MOVES_READ = 500
"""Newest changes that are read where those do not have them all. An alias whose last change is
older than all of them is shown without it; its own page has it."""

ORDERS = {
    "newest": "version_number DESC",
    "oldest": "version_number ASC",
    "changed": "last_updated_timestamp DESC",
}
"""The orders of the versions, as they stand in the address; the first is the usual one."""


@attrs.frozen(kw_only=True)
class AliasRow:
    """An alias, and how it came to point where it does."""

    name: str
    version: int
    moved: Event | None
    """The event that pointed it there, if it is a recent one."""


def board(registry: Registry, model: RegisteredModel) -> tuple[AliasRow, ...]:
    """Return what each alias points at, since when and by whom: one call for all, rarely two."""
    moved: Mapping[str | None, Event] = {}
    if model.aliases:
        moved = _moves(registry, model, MOVES_READ_FIRST)
        if not model.aliases.keys() <= moved.keys():
            moved = _moves(registry, model, MOVES_READ)
    return tuple(
        AliasRow(name=alias, version=version, moved=moved.get(alias))
        for alias, version in model.aliases.items()
    )


def _moves(registry: Registry, model: RegisteredModel, most: int) -> Mapping[str | None, Event]:
    query = histories.query(model.name, actions=ALIAS_ACTIONS, max_results=most)
    return timeline.newest_of_each(histories.page(registry.store, query, None).items)


def newest_version(model: RegisteredModel) -> ModelVersion | None:
    """Return the version numbered highest."""
    return max(model.latest_versions, key=lambda version: version.version, default=None)


def has_stages(model: RegisteredModel) -> bool:
    """Return whether any version is in a stage: nobody else wants to see them."""
    return any(version.current_stage is not Stage.NONE for version in model.latest_versions)


def context(registry: Registry, model: RegisteredModel, tab: str) -> dict[str, Any]:
    """Return what all pages of a model show."""
    return {
        "model": model,
        "tab": tab,
        "board": board(registry, model),
        "newest": newest_version(model),
        "has_stages": has_stages(model),
        "by_tag": finding.by_tag,
    }


def show_versions(request: PageRequest, registry: Registry, name: str) -> View:
    """Return the model with its versions."""
    model = registry.get_registered_model(name)
    text = request.query.get("q", "")
    order = request.query.get("sort", "newest")
    if order not in ORDERS:
        raise InvalidArgumentError(f"There is no order '{order}': it is one of {', '.join(ORDERS)}")
    search = finding.versions(text)
    page: Page[ModelVersion] = Page((), None)
    if search.problem is None:
        query = finding.query(
            Entity.MODEL_VERSION,
            (*finding.versions_of(name, is_prompt=model.is_prompt), *search.filter),
            order=ORDERS[order],
            max_results=PAGE_SIZE,
            page_token=request.query.get("page"),
        )
        page = registry.store.search_model_versions(query)
    return View(
        template="versions.html",
        context={
            **context(registry, model, "versions"),
            "versions": page,
            "text": text,
            "wanted": search,
            "order": order,
            "token": request.query.get("page"),
        },
        data=lambda: {**payloads.registered_model(model), **payloads.model_versions(page)},
    )


def show_history(request: PageRequest, registry: Registry, name: str) -> View:
    """Return the model with what was done to it."""
    model = registry.get_registered_model(name)
    page = timeline.read(request, registry, name)
    return View(
        template="history.html",
        context={
            **context(registry, model, "history"),
            "timeline": page,
            "kinds": timeline.KINDS,
            "asked": request.query,
        },
        data=page.data,
    )


def show_settings(
    request: PageRequest,  # noqa: ARG001 as all views
    registry: Registry,
    name: str,
    *_: str,
) -> View:
    """Return the model with what can be changed about it."""
    model = registry.get_registered_model(name)
    return View(
        template="settings.html",
        context=context(registry, model, "settings"),
        data=lambda: payloads.registered_model(model),
    )
