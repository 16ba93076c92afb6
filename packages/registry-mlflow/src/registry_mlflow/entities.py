"""Entities of `registry_core` as MLflow's, and the other way round.

The fields come from the table of fields: a new one of ours is passed on as soon as MLflow's class
knows its name. Values are those that MLflow's client gets from a server: the number of a version is
a text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModel
from mlflow.entities.model_registry.registered_model_alias import RegisteredModelAlias
from mlflow.entities.model_registry.registered_model_tag import RegisteredModelTag
from mlflow.store.entities.paged_list import PagedList

from registry_core import Page, models
from registry_core.answer_objects import NUMERALS
from registry_core.fields import Field, fields_of

_Form = Callable[[Any], Any]


def _forms(tag: Callable[[str, str], Any]) -> Mapping[Any, _Form]:
    """How the fields look that are more than one value, by their type."""
    return {
        Mapping[str, str]: lambda tags: [tag(*each) for each in tags.items()],
        Mapping[str, int]: lambda aliases: [
            RegisteredModelAlias(alias, str(version)) for alias, version in aliases.items()
        ],
        tuple[str, ...]: list,
        tuple[models.ModelVersion, ...]: lambda versions: [*map(model_version, versions)],
    }


def _form(field: Field, forms: Mapping[Any, _Form]) -> _Form:
    if field.name in NUMERALS:
        return str
    if field.is_word:
        return lambda word: word.value
    return forms.get(field.type, lambda value: value)


def _conversion(ours: Any, theirs: Any, tag: Callable[[str, str], Any]) -> Callable[[Any], Any]:
    known = inspect.signature(theirs).parameters
    forms = _forms(tag)
    fields = [
        (field.name, _form(field, forms))
        for field in fields_of(ours)
        if field.about.is_on_wire and field.name in known
    ]

    def convert(entity: Any) -> Any:
        values = {name: (getattr(entity, name), form) for name, form in fields}
        return theirs(
            **{
                name: None if value is None else form(value)
                for name, (value, form) in values.items()
            }
        )

    return convert


model_version: Callable[[models.ModelVersion], ModelVersion] = _conversion(
    models.ModelVersion, ModelVersion, ModelVersionTag
)
"""The model version as MLflow's entity."""

registered_model: Callable[[models.RegisteredModel], RegisteredModel] = _conversion(
    models.RegisteredModel, RegisteredModel, RegisteredModelTag
)
"""The registered model as MLflow's entity."""


def paged(page: Page[Any], convert: _Form) -> PagedList:
    """Return a page as MLflow's list with its token."""
    return PagedList([convert(each) for each in page.items], page.next_page_token)


def tags(entities: Iterable[Any] | None) -> dict[str, str]:
    """Return tags as a mapping; of equal keys the last counts, and values become texts."""
    return {tag.key: str(tag.value) for tag in entities or ()}
