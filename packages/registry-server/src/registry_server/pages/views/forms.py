"""The forms that change models and versions: their pages, and what they do."""

from __future__ import annotations

from typing import cast

from registry_core import InvalidArgumentError, Registry
from registry_core.models import StageName
from registry_core.wire import payloads
from registry_server.pages import links
from registry_server.pages.answers import Redirect, View
from registry_server.pages.requests import PageRequest

# Registered models


def new_model(request: PageRequest, registry: Registry) -> View:  # noqa: ARG001 as all views
    """Return the form for a new registered model."""
    return View(template="new.html", context={}, data=dict)


def create_model(request: PageRequest, registry: Registry) -> Redirect:
    """Create a registered model."""
    made = registry.create_registered_model(
        request.text("name"), description=request.text("description")
    )
    return Redirect(to=links.model(made.name), notice=f"{made.name} was registered.")


def model_description(request: PageRequest, registry: Registry, name: str) -> View:  # noqa: ARG001
    """Return the whole description of a model, to read or to edit."""
    model = registry.get_registered_model(name)
    return View(
        template="description.html",
        context={
            "model": model,
            "version": None,
            "description": model.description or "",
            "back": links.model(name),
        },
        data=lambda: payloads.registered_model(model),
    )


def set_model_description(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Set the description of a model."""
    registry.update_registered_model(name, description=request.form.get("description", ""))
    return Redirect(to=links.model(name), notice="The description was saved.")


def set_model_tag(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Set a tag of a model."""
    key, value = request.text("key"), request.form.get("value", "")
    registry.set_registered_model_tag(name, key, value)
    return Redirect(to=links.model(name, "settings"), notice=f"The tag {key} was set.")


def delete_model_tag(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Delete a tag of a model."""
    key = request.form.get("key", "")
    registry.delete_registered_model_tag(name, key)
    return Redirect(to=links.model(name, "settings"), notice=f"The tag {key} was removed.")


def rename(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Rename a model."""
    renamed = registry.rename_registered_model(name, new_name=request.text("new_name"))
    return Redirect(
        to=links.model(renamed.name), notice=f"{name} is called {renamed.name} from now on."
    )


def delete_model(request: PageRequest, registry: Registry, name: str) -> Redirect:
    """Delete a model whose name was repeated by hand."""
    if request.form.get("confirmed", "") != name:
        raise InvalidArgumentError(
            "Nothing was deleted: the name that was typed is not the name of the model."
        )
    registry.delete_registered_model(name)
    return Redirect(to="", notice=f"{name} was deleted. The trash has it.")


# Model versions


def version_description(
    request: PageRequest,  # noqa: ARG001 as all views
    registry: Registry,
    name: str,
    number: str,
) -> View:
    """Return the whole description of a version, to read or to edit."""
    version = registry.get_model_version(name, number)
    return View(
        template="description.html",
        context={
            "model": None,
            "version": version,
            "description": version.description or "",
            "back": links.version(name, number),
        },
        data=lambda: payloads.model_version(version),
    )


def set_description(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:
    """Set the description of a version."""
    text = request.form.get("description", "")
    registry.update_model_version(name, number, description=text)
    return Redirect(to=links.version(name, number), notice="The description was saved.")


def set_version_tag(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:
    """Set a tag of a version."""
    key, value = request.text("key"), request.form.get("value", "")
    registry.set_model_version_tag(name, number, key, value)
    return Redirect(to=links.version(name, number), notice=f"The tag {key} was set.")


def delete_version_tag(
    request: PageRequest, registry: Registry, name: str, number: str
) -> Redirect:
    """Delete a tag of a version."""
    key = request.form.get("key", "")
    registry.delete_model_version_tag(name, number, key)
    return Redirect(to=links.version(name, number), notice=f"The tag {key} was removed.")


def transition(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:
    """Move a version to a stage, if it is still in the one that the form says."""
    stage = request.text("stage")
    version = registry.transition_model_version_stage(
        name,
        number,
        stage=cast("StageName", stage),
        archive_existing_versions=request.text("archive") == "yes",
        expected=cast("StageName", request.text("expected")),
    )
    return Redirect(
        to=links.version(name, number),
        notice=f"Version {version.version} is in stage {version.current_stage.value} now.",
    )


def delete_version(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:
    """Delete a version whose number was repeated by hand."""
    if request.text("confirmed") != number:
        raise InvalidArgumentError(
            "Nothing was deleted: the number that was typed is not the number of the version."
        )
    registry.delete_model_version(name, number)
    return Redirect(to=links.model(name), notice=f"Version {number} was deleted. The trash has it.")
