"""The objects in MLflow's answers, as they are written: the table of fields as clients see it.

The wire writes answers of them, and a database may fill them itself for pages that a server only
hands on.

Strategy: a page of models holds hundreds of objects with a dozen fields each. A struct is filled by
one call and read by an encoder in C: two thirds of the time of a mapping, a third of its memory.
What has its default is left out. None of them refers to what refers to it, so the collector may
leave them alone. The structs, and the functions that fill them, are written out from the table of
fields when the module is imported: a mapping is read faster than attributes, and fields in their
order are filled faster than by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs
import msgspec

from registry_core.fields import Field, arranged, define, fields_of
from registry_core.models import LATEST_VERSIONS, ModelVersion, RegisteredModel

NUMERALS: Final = frozenset({"version"})
"""The numbers that MLflow writes as texts."""

_NEVER_EMPTY = frozenset({(RegisteredModel, "description")})
"""The texts that are left out when they are empty, and not only when there are none."""

_FIRST = ("description", "latest_versions")
"""What MLflow writes before the other fields that may be absent."""


class TagObject(msgspec.Struct, frozen=True, gc=False):
    """A tag of a registered model or a model version."""

    key: str
    value: str


class AliasObject(msgspec.Struct, frozen=True, gc=False):
    """An alias in a registered model; one of a model version is its name alone."""

    alias: str
    version: str


def written(entity: type[attrs.AttrsInstance]) -> tuple[Field, ...]:
    """Return the fields that an answer has of an entity, in the order in which it has them.

    Those that it always has come first.
    """
    fields = [field for field in fields_of(entity) if field.about.is_on_wire]
    always = [field for field in fields if is_always_written(field)]
    others = [field for field in fields if not is_always_written(field)]
    if entity is RegisteredModel:
        return (*always, *arranged(others, first=(*_FIRST, "tags", "aliases")))
    return (*always, *arranged(others, first=_FIRST, last=("tags", "aliases")))


def is_always_written(field: Field) -> bool:
    """Return whether every answer has a field."""
    return field.is_scalar and not field.is_optional


def _struct(name: str, entity: type[attrs.AttrsInstance]) -> Any:
    fields: list[Any] = []
    for field in written(entity):
        if is_always_written(field):
            fields.append((field.name, Any))
        else:
            fields.append((field.name, Any, None if field.is_scalar else []))
    return msgspec.defstruct(
        name, fields, module=__name__, frozen=True, gc=False, omit_defaults=True
    )


def _value(entity: type[attrs.AttrsInstance], field: Field) -> str:
    """The expression for what an answer has of a field."""
    value = f"values[{field.name!r}]"
    if field.name in NUMERALS:
        return f"str({value})"
    if field.is_word:
        return f"{value}._value_"
    if (entity, field.name) in _NEVER_EMPTY:
        return f"{value} or None"
    form = _FORMS.get(field.type)
    return value if form is None else form.format(value)


_FORMS: Mapping[Any, str] = {
    Mapping[str, str]: "encode_tags({})",
    Mapping[str, int]: "encode_aliases({})",
    tuple[str, ...]: "list({})",
    tuple[ModelVersion, ...]: "encode_versions(entity)",
}
"""How the fields are written that are more than one value, by their type."""


def _encoding(
    entity: type[attrs.AttrsInstance], struct: Any, **names: object
) -> Callable[[Any], msgspec.Struct]:
    values = ", ".join(_value(entity, field) for field in written(entity))
    return define(
        f"def encode(entity):\n    values = entity.__dict__\n    return struct({values})",
        struct=struct,
        encode_tags=encode_tags,
        encode_aliases=_encode_aliases,
        **names,
    )


def encode_tags(tags: Mapping[str, str]) -> list[TagObject]:
    """Return the tags as MLflow writes them."""
    return list(map(TagObject, tags, tags.values()))


def _encode_aliases(aliases: Mapping[str, int]) -> list[AliasObject]:
    return [AliasObject(alias, str(number)) for alias, number in aliases.items()]


ModelVersionObject = _struct("ModelVersionObject", ModelVersion)
"""A model version."""

RegisteredModelObject = _struct("RegisteredModelObject", RegisteredModel)
"""A registered model."""

encode_model_version: Callable[[ModelVersion], msgspec.Struct] = _encoding(
    ModelVersion, ModelVersionObject
)
"""The model version as MLflow writes it."""


def _encode_versions(model: RegisteredModel) -> list[Any]:
    unread = LATEST_VERSIONS.of(model)
    return (
        list(map(encode_model_version, model.latest_versions)) if unread is None else unread.written
    )


encode_registered_model: Callable[[RegisteredModel], msgspec.Struct] = _encoding(
    RegisteredModel, RegisteredModelObject, encode_versions=_encode_versions
)
"""The registered model as MLflow writes it."""


def plain(answer: object) -> dict[str, Any]:
    """Return the object of an answer as a JSON object: mappings, lists, texts and numbers."""
    return cast("dict[str, Any]", msgspec.to_builtins(answer, enc_hook=_read))


def _read(written_already: object) -> Any:
    if isinstance(written_already, msgspec.Raw):
        return msgspec.json.decode(written_already)
    raise NotImplementedError
