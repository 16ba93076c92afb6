"""MLflow's JSON, out and in: the only code that knows how the wire differs from the domain.

Out:

- A version is an integer here and a text there; timestamps are integers on both sides.
- Tags are a mapping here and a list of `{"key", "value"}` there; a model's aliases a mapping here
  and a list of `{"alias", "version"}` there; both by key.
- What is None, an empty tag list or an empty alias list is left out. An empty text is not: a
  version shows `""` for a run id that was never given (contract 1.3). A registered model's empty
  description is left out.
- Stages and statuses are their MLflow spelling.
- `storage_location` never leaves: `get-download-uri` answers with it.

In:

- Fields are read by their snake_case name; unknown ones are ignored; null is absent. The camelCase
  spelling is read where a field may be absent; both spellings at once are refused.
- A required text that is absent, null or empty is missing.
- Types are strict: a number is not a text, `"true"` not a boolean. Integers may come as a number
  without fraction or as a decimal numeral, because protobuf's JSON writes int64 as text.
- Tags come as a list of `{"key", "value"}`; of equal keys the last wins; a missing value is `""`.
- Failures are `InvalidArgumentError` with MLflow's text for the first field at fault.

Answers of other servers are read by the same rules, except that nothing in them is required to be
non-empty and camelCase is read everywhere; what cannot be read raises `StoreCorruptedError`.
"""

from __future__ import annotations

import enum
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, TypeGuard, TypeVar, cast

import attrs
import cattrs

from registry_core import validation
from registry_core.answer_objects import encode_tags
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import ModelVersion, RegisteredModel, Stage, Status
from registry_core.wire.requests import AtMost

Json: TypeAlias = dict[str, Any]
"""A JSON object; one to be written may hold objects of `registry_core.answer_objects`."""

T = TypeVar("T")
_Hook: TypeAlias = Callable[[Any, Any], Any]

_NUMERAL = re.compile(r"[+-]?[0-9]{1,19}\Z")
_INT64 = range(-(2**63), 2**63)


class WrongTypeError(Exception):
    """A value does not have the type of its field; the caller, who knows it, words the error."""


def wrong_type(parameter: str, value: object) -> InvalidArgumentError:
    """Return the error for a value of the wrong type (contract 1.4, TYPE)."""
    return InvalidArgumentError(
        f"Invalid value {_shown(value)} for parameter '{parameter}' supplied:  Hint: Value was of "
        f"type '{type(value).__name__}'. See the API docs for more information about request "
        "parameters."
    )


def camel_case(name: str) -> str:
    """Return the other spelling that protobuf's JSON allows for a field."""
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def _shown(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return "..."


# Values


def _text(value: object, _: object) -> str:
    if type(value) is str:
        return value
    raise WrongTypeError


def _integer(value: object, _: object) -> int:
    if _is_numeral(value):
        value = int(value)
    if type(value) is int and value in _INT64:
        return value
    raise WrongTypeError


def _is_numeral(value: object) -> TypeGuard[str | float]:
    if type(value) is float:
        return value.is_integer()
    return type(value) is str and _NUMERAL.match(value) is not None


def _bounded_integer(value: object, annotation: Any) -> int:
    number = _integer(value, int)
    for bound in annotation.__metadata__:
        if isinstance(bound, AtMost) and number > bound.limit:
            raise WrongTypeError
    return number


def _boolean(value: object, _: object) -> bool:
    if type(value) is bool:
        return value
    raise WrongTypeError


def _texts(value: object, _: object) -> tuple[str, ...]:
    if type(value) is list and all(type(item) is str for item in value):
        return tuple(value)
    raise WrongTypeError


def _tags(value: object, _: object) -> dict[str, str]:
    # In the order they were sent: the first one at fault is the one that an error names.
    tags: dict[str, str] = {}
    for key, text in _pairs(value, "key", "value"):
        # MLflow checks every one of them: what is too long stays, to be refused.
        if len(tags.get(key, "")) <= validation.TAG_VALUE_MAX_LENGTH:
            tags[key] = text
    return tags


def _sorted_tags(value: object, annotation: object) -> dict[str, str]:
    return dict(sorted(_tags(value, annotation).items()))


def _aliases(value: object, _: object) -> dict[str, int]:
    aliases = dict(_pairs(value, "alias", "version"))
    return {alias: _integer(version, int) for alias, version in sorted(aliases.items())}


def _pairs(value: object, first: str, second: str) -> list[tuple[str, str]]:
    """The texts in a list of objects with two each."""
    if type(value) is not list:
        raise WrongTypeError
    pairs = []
    for item in value:
        if type(item) is not dict:
            raise WrongTypeError
        texts = ["" if item.get(key) is None else item[key] for key in (first, second)]
        for key, text in zip((first, second), texts, strict=True):
            if type(text) is not str:
                raise wrong_type(key, text)
        pairs.append((texts[0], texts[1]))
    return pairs


def _enumeration(value: object, kind: Any) -> enum.Enum:
    try:
        return cast("enum.Enum", kind(value))
    except ValueError:
        raise WrongTypeError from None


# Objects


@attrs.frozen
class _Field:
    """How one attribute of a class is read."""

    name: str
    camel: str
    required: bool
    hook: _Hook
    annotation: Any


def _fields(cls: Any) -> tuple[_Field, ...]:
    attrs.resolve_types(cls)
    fields = []
    for attribute in attrs.fields(cls):
        annotation = _present(attribute.type)
        fields.append(
            _Field(
                name=attribute.name,
                camel=camel_case(attribute.name),
                required=attribute.default is attrs.NOTHING,
                hook=converter.get_structure_hook(annotation),
                annotation=annotation,
            )
        )
    return tuple(fields)


def _present(annotation: Any) -> Any:
    """The type of a field that may be None, when it is not."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation


def _request_hook(cls: Any) -> _Hook:
    fields = _fields(cls)
    two_spellings = [(field.name, field.camel) for field in fields if field.camel != field.name]

    def structure(raw: Mapping[str, Any], _: object) -> object:
        for name, camel in two_spellings:
            if name in raw and camel in raw:
                raise InvalidArgumentError(
                    f"Request specifies both '{name}' and '{camel}'; provide only one of them."
                )
        values = {}
        for field in fields:
            value = raw.get(field.name)
            if field.required:
                if value is None or value == "":
                    raise validation.missing(field.name)
            elif value is None and (value := raw.get(field.camel)) is None:
                continue
            try:
                values[field.name] = field.hook(value, field.annotation)
            except WrongTypeError:
                raise wrong_type(field.name, value) from None
        return cls(**values)

    return structure


def _entity_hook(cls: Any) -> _Hook:
    # A server may send its lists in any order; an entity has one.
    in_order: dict[_Hook, _Hook] = {_tags: _sorted_tags, _texts: _alias_names}
    fields = [
        attrs.evolve(field, hook=in_order.get(field.hook, field.hook)) for field in _fields(cls)
    ]

    def structure(raw: object, _: object) -> object:
        if type(raw) is not dict:
            raise StoreCorruptedError(f"The answer holds no {cls.__name__}: {_shown(raw)[:200]}")
        values = {}
        for field in fields:
            value = raw.get(field.name, raw.get(field.camel))
            if value is None and not field.required:
                continue
            try:
                values[field.name] = field.hook(value, field.annotation)
            except (WrongTypeError, InvalidArgumentError):
                raise StoreCorruptedError(
                    f"The {field.name} of a {cls.__name__} in the answer cannot be read: "
                    f"{_shown(value)[:200]}"
                ) from None
        return cls(**values)

    return structure


def _versions(value: object, _: object) -> tuple[ModelVersion, ...]:
    if type(value) is not list:
        raise WrongTypeError
    return tuple(decode_model_version(item) for item in value)


def _alias_names(value: object, annotation: object) -> tuple[str, ...]:
    return tuple(sorted(_texts(value, annotation)))


def _is_request(annotation: Any) -> bool:
    # Every class of requests, in whichever module of the wire: none can be forgotten.
    return attrs.has(annotation) and annotation.__module__.startswith(f"{__package__}.")


def _make_converter() -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=False)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(int, _integer)
    made.register_structure_hook(bool, _boolean)
    # Not by a predicate: the hook for `str`, which they are subclasses of, would go first.
    for kind in (Stage, Status):
        made.register_structure_hook(kind, _enumeration)
    hooks: list[tuple[Any, _Hook]] = [
        (tuple[str, ...], _texts),
        (Mapping[str, str], _tags),
        (Mapping[str, int], _aliases),
        (tuple[ModelVersion, ...], _versions),
    ]
    for type_, hook in hooks:
        made.register_structure_hook_func(_equals(type_), hook)
    made.register_structure_hook_func(_is_bounded, _bounded_integer)
    made.register_structure_hook_factory(_is_request, _request_hook)
    for entity in (ModelVersion, RegisteredModel):
        made.register_structure_hook_factory(_equals(entity), _entity_hook)
    return made


def _equals(expected: Any) -> Callable[[Any], bool]:
    return lambda annotation: bool(annotation == expected)


def _is_bounded(annotation: Any) -> bool:
    return typing.get_origin(annotation) is Annotated


converter = _make_converter()
"""MLflow's JSON for the classes of `registry_core.wire.requests` and the entities."""


def decode_request(cls: type[T], fields: Mapping[str, Any]) -> T:
    """Return the request in the fields of a body or query.

    Raises:
        InvalidArgumentError: a field is missing or has the wrong type.
    """
    return cast("T", converter.get_structure_hook(cls)(fields, cls))


def decode_registered_model(raw: object) -> RegisteredModel:
    """Return the registered model that a server answered with."""
    return converter.structure(raw, RegisteredModel)


def decode_model_version(raw: object) -> ModelVersion:
    """Return the model version that a server answered with."""
    return converter.structure(raw, ModelVersion)


def encode_request(request: attrs.AttrsInstance) -> Json:
    """Return the JSON that asks for an operation; what has its default is left out."""
    body: Json = {}
    for attribute in attrs.fields(type(request)):
        value = getattr(request, attribute.name)
        if value in (attribute.default, {}):
            continue
        body[attribute.name] = encode_tags(value) if isinstance(value, Mapping) else value
    return body
