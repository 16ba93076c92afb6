"""The pages of what was deleted, and the forms that bring it back."""

from __future__ import annotations

import attrs

from registry_core import InvalidArgumentError, NotFoundError, Registry
from registry_core.trash import DeletedVersion
from registry_core.wire import Json
from registry_server.pages import links
from registry_server.pages.answers import Redirect, View
from registry_server.pages.requests import PageRequest

ROWS = 100
"""Deleted models that are listed, and as many deleted versions; how many more there are is said."""


def show(request: PageRequest, registry: Registry) -> View:
    """Return what was deleted lately, and until when it is kept.

    Of part of a name, what has that.
    """
    part = request.query.get("q", "").strip()
    trash = registry.trash()
    models = [each for each in trash.models if part.lower() in each.name.lower()]
    versions = [each for each in trash.versions if part.lower() in each.name.lower()]
    return View(
        template="trash.html",
        context={
            "text": part,
            "models": models,
            "versions": versions,
            "is_cut": trash.is_cut,
            "rows": ROWS,
        },
        data=lambda: {
            "deleted_models": [attrs.asdict(each) for each in models],
            "deleted_versions": [_version_data(each) for each in versions],
            "is_cut": trash.is_cut,
        },
    )


def show_model(request: PageRequest, registry: Registry, name: str, model_id: str) -> View:  # noqa: ARG001
    """Return a deleted model, and the form that restores it."""
    deleted = registry.deleted_registered_model(name, model_id=model_id)
    return View(
        template="restore_model.html",
        context={"deleted": deleted},
        data=lambda: {"deleted_model": attrs.asdict(deleted)},
    )


def restore_model(request: PageRequest, registry: Registry, name: str, model_id: str) -> Redirect:
    """Restore a deleted model under the name that the form says."""
    restored = registry.restore_registered_model(
        name, new_name=request.text("new_name"), model_id=model_id
    )
    called = "" if restored.name == name else f" It was called {name}."
    return Redirect(to=links.model(restored.name), notice=f"{restored.name} is back.{called}")


def show_version(request: PageRequest, registry: Registry, name: str, number: str) -> View:  # noqa: ARG001
    """Return a deleted version of a model, and the form that restores it."""
    deleted = _deleted_version(registry, name, number)
    return View(
        template="restore_version.html",
        context={"deleted": deleted, "fields": deleted.fields},
        data=lambda: {"deleted_version": _version_data(deleted)},
    )


def restore_version(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:  # noqa: ARG001
    """Restore a deleted version under its number."""
    restored = registry.restore_model_version(name, number)
    return Redirect(
        to=links.version(name, restored.version),
        notice=f"Version {restored.version} is back, without the aliases that it had.",
    )


def _deleted_version(registry: Registry, name: str, number: str) -> DeletedVersion:
    for deleted in registry.deleted_model_versions(name):
        if str(deleted.version) == number:
            return deleted
    if not number.isdecimal():
        raise InvalidArgumentError("The number of a version is made of digits.")
    raise NotFoundError(f"No version {number} of '{name}' can be restored")


def _version_data(deleted: DeletedVersion) -> Json:
    return attrs.asdict(deleted, recurse=False) | {"fields": dict(deleted.fields)}
