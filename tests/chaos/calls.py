"""The calls of the chaos runs: chosen at random, made on a real store, put in the checker's words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from chaos.linearizability import UNKNOWN
from chaos.registry_model import DONE, EXISTS, NOT_FOUND
from registry_core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
)
from registry_core.search import AttributeRef, Comparison, Op
from registry_core.store import Store
from registry_core.testing.observing import models_query, versions_query

NAMES_PER_FAMILY = 2
"""Names that the models of a family move between: a rename meets another one's model."""

NOTHING = "nothing was done"
"""The outcome of a call that lost all its races; it is no part of the history."""

LARGE_EVERY = 12
"""One tag value in so many lies beside its document."""

_WEIGHTS = {
    "create_model": 6,
    "create_version": 20,
    "set_tag": 12,
    "set_version_tag": 8,
    "set_alias": 8,
    "transition": 8,
    "delete_version": 4,
    "rename": 5,
    "delete_model": 1,
    "get": 14,
    "get_versions": 8,
    "get_by_alias": 6,
    "list": 8,
}


def names_of(family: str) -> list[str]:
    """The names that models of a family have."""
    return [f"{family}-{letter}" for letter in "ab"[:NAMES_PER_FAMILY]]


def choose(chance: random.Random, family: str, unique: str) -> tuple[str, tuple[Any, ...]]:
    """A call and its arguments; `unique` is a value that no other call writes."""
    name = chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
    model, new_name = chance.sample(names_of(family), 2)
    number = chance.randint(1, 6)
    value = unique if chance.randrange(LARGE_EVERY) else unique * 600
    arguments = {
        "create_model": (model, unique),
        "create_version": (model, unique),
        "set_tag": (model, chance.choice("uv"), value),
        "set_version_tag": (model, number, value),
        "set_alias": (model, chance.choice("xy"), number),
        "transition": (model, number, chance.choice(["Staging", "Production"])),
        "delete_version": (model, number),
        "rename": (model, new_name),
        "get_by_alias": (model, chance.choice("xy")),
        "list": (),
    }
    return name, arguments.get(name, (model,))


def make(store: Store, family: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """The outcome of a call on a store, as the specification words it."""
    try:
        return _CALLS[name](store, family, *arguments)
    except NotFoundError:
        return NOT_FOUND
    except AlreadyExistsError:
        return EXISTS
    except (ConflictError, StoreBusyError):
        return NOTHING
    except StoreUnavailableError:
        return UNKNOWN


def _done(_: object) -> str:
    return DONE


def _create_version(store: Store, _: str, model: str, run_id: str) -> int:
    new = NewModelVersion(name=model, source="s3://b/p", run_id=run_id)
    return store.create_model_version(new).version


def _transition(store: Store, _: str, model: str, number: int, stage: str) -> str:
    return _done(
        store.transition_model_version_stage(
            model, number, stage=Stage(stage), archive_existing_versions=True
        )
    )


def _list(store: Store, family: str) -> Any:
    # Not by name, so that the listing of the whole bucket is what answers.
    of_family = (Comparison(AttributeRef("name"), Op.LIKE, f"{family}-%"),)
    page = store.search_registered_models(models_query(of_family))
    return tuple((model.name, _view(model)) for model in page.items)


def _get_versions(store: Store, _: str, model: str) -> Any:
    of_model = (Comparison(AttributeRef("name"), Op.EQ, model),)
    page = store.search_model_versions(versions_query(of_model, ["version_number ASC"]))
    return tuple(_version(version) for version in page.items)


def _view(model: RegisteredModel) -> Any:
    latest = sorted(model.latest_versions, key=lambda version: version.current_stage.value)
    return (
        tuple(model.tags.items()),
        tuple(model.aliases.items()),
        tuple(_version(version) for version in latest),
    )


def _version(version: ModelVersion) -> Any:
    tags = tuple(version.tags.items())
    return version.version, version.run_id, version.current_stage.value, tags


_CALLS: dict[str, Callable[..., Any]] = {
    "create_model": lambda s, _, m, tag: _done(
        s.create_registered_model(NewRegisteredModel(name=m, tags={"t": tag}))
    ),
    "rename": lambda s, _, m, new: _done(s.rename_registered_model(m, new_name=new)),
    "delete_model": lambda s, _, m: _done(s.delete_registered_model(m)),
    "create_version": _create_version,
    "delete_version": lambda s, _, m, n: _done(s.delete_model_version(m, n)),
    "transition": _transition,
    "set_alias": lambda s, _, m, a, n: _done(s.set_registered_model_alias(m, a, version=n)),
    "set_version_tag": lambda s, _, m, n, v: _done(s.set_model_version_tag(m, n, "t", v)),
    "set_tag": lambda s, _, m, k, v: _done(s.set_registered_model_tag(m, k, v)),
    "get": lambda s, _, m: _view(s.get_registered_model(m)),
    "get_versions": _get_versions,
    "get_by_alias": lambda s, _, m, a: s.get_model_version_by_alias(m, a).version,
    "list": _list,
}
