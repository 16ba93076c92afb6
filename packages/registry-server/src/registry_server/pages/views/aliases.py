"""The pages of aliases, and the forms that move them."""

from __future__ import annotations

from typing import Any

from registry_core import InvalidArgumentError, RegisteredModel, Registry, histories
from registry_core.history import ALIAS_ACTIONS
from registry_core.validation import VERSION_MAX
from registry_core.wire import Json
from registry_core.wire import history as wire
from registry_server.pages import links
from registry_server.pages.answers import Redirect, View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import model as models
from registry_server.pages.views import timeline

ABSENT = "none"
"""What a form says in `expected` of an alias that does not exist."""

_VERSION_DIGITS = len(str(VERSION_MAX))


def show_all(request: PageRequest, registry: Registry, name: str) -> View:
    """Return the aliases of a model, and a form for a new one."""
    model = registry.get_registered_model(name)
    return View(
        template="aliases.html",
        context={
            **models.context(registry, model, "aliases"),
            "suggested": request.query.get("to", ""),
            "alias": request.query.get("alias", ""),
        },
        data=lambda: _data(model),
    )


def show(request: PageRequest, registry: Registry, name: str, alias: str) -> View:
    """Show an alias: where it points, since when, what it pointed at, and how to move it."""
    model = registry.get_registered_model(name)
    query = histories.query(
        name, alias=alias, actions=ALIAS_ACTIONS, max_results=timeline.PAGE_SIZE
    )
    page = histories.page(registry.store, query, request.query.get("page") or None)
    current = model.aliases.get(alias)
    events = tuple(page.items)
    context: dict[str, Any] = {
        "model": model,
        "alias": alias,
        "current": current,
        "moved": events[0] if events and not request.query.get("page") else None,
        "is_first_page": not request.query.get("page"),
        "timeline": timeline.Timeline(events=events, next_page_token=page.next_page_token),
        "suggested": request.query.get("to", ""),
        "newest": models.newest_version(model),
        "absent": ABSENT,
    }
    return View(
        template="alias.html",
        context=context,
        data=lambda: {
            "alias": alias,
            "version": current,
            "events": [wire.encode_event(event) for event in events],
        },
    )


def _data(model: RegisteredModel) -> Json:
    return {"name": model.name, "aliases": dict(model.aliases)}


def create(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Point a new alias at a version, or leads to the alias of that name."""
    alias, version = request.text("alias"), request.text("version")
    registry.set_registered_model_alias(name, alias, version, expected=None)
    return Redirect(to=links.model(name), notice=f"{alias} now points at version {version}.")


def move(request: PageRequest, registry: Registry, name: str, alias: str) -> Redirect:
    """Point the alias at another version, if it still points where the form says."""
    version = request.text("version")
    expected = _expected(request)
    registry.set_registered_model_alias(name, alias, version, expected=expected)
    before = "" if expected is None else f", and no longer at {expected}"
    return Redirect(
        to=links.model(name), notice=f"{alias} now points at version {version}{before}."
    )


def roll_back(request: PageRequest, registry: Registry, name: str, alias: str) -> Redirect:
    """Point the alias where the form says that it pointed before; see `move`.

    The form has both ends, so that it undoes what its reader has seen, and nothing that came since.
    """
    version = request.text("version")
    if version == ABSENT:
        return remove(request, registry, name, alias)
    registry.set_registered_model_alias(name, alias, version, expected=_expected(request))
    return Redirect(to=links.model(name), notice=f"{alias} points at version {version} again.")


def remove(request: PageRequest, registry: Registry, name: str, alias: str) -> Redirect:
    """Remove the alias, if it still points where the form says."""
    registry.delete_registered_model_alias(name, alias, expected=_expected(request))
    return Redirect(to=links.model(name), notice=f"The alias {alias} was removed.")


def _expected(request: PageRequest) -> int | None:
    text = request.text("expected")
    if text == ABSENT:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _VERSION_DIGITS:
        raise InvalidArgumentError("The form does not say where the alias was expected to point.")
    return int(text)
