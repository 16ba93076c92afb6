"""Where the model of an event is today: the pages that events of all models link to.

Strategy: an event has the name that its model had at the time. By now the model may have another
one, or be deleted, and another model may have its name. To ask for each model while events are
listed would cost a read each. So links have the model's id, which never changes, and what became
of it is looked up when somebody follows one.
"""

from __future__ import annotations

from registry_core import (
    NotFoundError,
    RegisteredModelNotFoundError,
    Registry,
    histories,
)
from registry_core.history import Action
from registry_core.retention import retention
from registry_core.store import system_clock
from registry_server.pages import links
from registry_server.pages.answers import Redirect, View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import timeline

_COMING_AND_GOING = (Action.CREATE_VERSION, Action.DELETE_VERSION, Action.RESTORE_VERSION)


def show_model(request: PageRequest, registry: Registry, model_id: str) -> View | Redirect:
    """Return the model's page under its name of now, or what is left of a deleted model."""
    name = _name_now(registry, model_id)
    return _deleted(request, registry, model_id) if name is None else Redirect(to=links.model(name))


def show_version(
    request: PageRequest, registry: Registry, model_id: str, number: str
) -> View | Redirect:
    """Return the page of a version of the model."""
    name = _name_now(registry, model_id)
    if name is None:
        return _deleted(request, registry, model_id)
    # Of a deleted version, that page says where it is.
    return Redirect(to=links.version(name, number))


def show_alias(
    request: PageRequest, registry: Registry, model_id: str, alias: str
) -> View | Redirect:
    """Return the page of an alias of the model, also of one that was removed."""
    name = _name_now(registry, model_id)
    if name is None:
        return _deleted(request, registry, model_id)
    return Redirect(to=links.alias(name, alias))


def deleted_version(registry: Registry, name: str, number: int | str) -> Redirect | None:
    """Return where a deleted version is: in the trash or, kept no longer, in its model's history.

    None where there was no such version, or it is not deleted.
    """
    about = histories.query(name, version=number, actions=_COMING_AND_GOING, max_results=1)
    for event in histories.page(registry.store, about, None).items:
        if event.action is not Action.DELETE_VERSION:
            return None
        if event.time + retention() > system_clock():
            return Redirect(to=links.path("trash", "versions", name, number))
        return Redirect(to=links.with_query(links.model(name, "history"), [("version", number)]))
    return None


def _name_now(registry: Registry, model_id: str) -> str | None:
    """The name of a model by its id; None if it is deleted.

    Raises:
        RegisteredModelNotFoundError: No model ever had the id, or the caller may not see it.
    """
    newest = histories.query(None, model_id=model_id, max_results=1)
    for event in histories.page(registry.store, newest, None).items:
        return None if event.action is Action.DELETE_MODEL else next(event.names_after())
    raise RegisteredModelNotFoundError(model_id)


def _deleted(request: PageRequest, registry: Registry, model_id: str) -> View:
    page = timeline.read(request, registry, model_id=model_id)
    newest = histories.query(None, model_id=model_id, max_results=1)
    event = next(iter(histories.page(registry.store, newest, None).items), None)
    if event is None:  # It was replaced by another one meanwhile.
        raise RegisteredModelNotFoundError(model_id)
    try:
        deleted = registry.deleted_registered_model(event.name, model_id=model_id)
    except NotFoundError:  # kept no longer
        deleted = None
    return View(
        template="deleted_model.html",
        context={
            "name": event.name,
            "model_id": model_id,
            "deleted": deleted,
            "timeline": page,
            "asked": request.query,
        },
        data=page.data,
    )
