"""What a model says of itself: its flavours, its signature, what it needs (MLflow's `MLmodel`).

Strategy: the files are whatever somebody has uploaded. So they are short, of YAML only plain
values are taken, a piece at a time, and nothing in them is built that the text is not long enough
for: no tags, no anchors, no depth. What cannot be read is said, and keeps nobody from the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import yaml

MLMODEL = "MLmodel"
"""The file at the top of a version that MLflow describes a model in."""

REQUIREMENTS = "requirements.txt"
"""The file beside it that says which packages the model needs."""

MLMODEL_MAX_BYTES = 256 * 1024
"""Bytes of an `MLmodel` that is read; parsing takes a millisecond for a few KiB. MLflow's have one
or two, and some hundred for a signature of thousands of columns."""

REQUIREMENTS_MAX_BYTES = 64 * 1024
"""Bytes of a `requirements.txt` that is read."""

COLUMNS_SHOWN = 200
"""Columns of a signature that a page lists; how many more there are is said."""

_DEPTH_MAX = 20
"""Values inside of values; MLflow writes four."""

_VALUES_MAX = 5_000
"""Values of an `MLmodel`, at some 30 µs each; MLflow's have a hundred."""

_TYPE_MAX_LENGTH = 300
"""Characters of the type of one column; those of objects are as long as somebody makes them."""

_NULLS = ("null", "Null", "NULL", "~")

Plain: TypeAlias = str | list[Any] | dict[str, Any]


class UnreadableError(ValueError):
    """The text is not what it should be; the message says why."""


@attrs.frozen(kw_only=True)
class Column:
    """One input, output or parameter of a model."""

    name: str
    type: str
    is_required: bool = True
    default: str | None = None
    """Of a parameter."""


@attrs.frozen(kw_only=True)
class Card:
    """What a model says of itself."""

    flavors: tuple[tuple[str, str], ...] = ()
    """Each with the release of its library, where that is said."""
    facts: tuple[tuple[str, str], ...] = ()
    signature: Mapping[str, tuple[Column, ...]] = attrs.field(factory=dict)
    """The inputs, outputs and parameters that it says it has."""
    requirements: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What of it cannot be read, and why."""


_FACTS = (
    ("mlflow_version", "saved by MLflow"),
    ("utc_time_created", "saved at"),
    ("model_uuid", "model UUID"),
    ("model_id", "logged model"),
    ("run_id", "run"),
)
"""The fields of an `MLmodel` that are shown as they are."""

_PARTS = ("inputs", "outputs", "params")


def card(mlmodel: bytes) -> Card:
    """Return what an `MLmodel` says.

    Raises:
        UnreadableError: it is none.
    """
    parsed = plain_yaml(mlmodel)
    if not isinstance(parsed, dict):
        raise UnreadableError("it has no fields")
    flavors = parsed.get("flavors")
    facts = ((label, parsed.get(key)) for key, label in _FACTS)
    problems: list[str] = []
    return Card(
        flavors=tuple(_flavors(flavors)) if isinstance(flavors, dict) else (),
        facts=tuple((label, value) for label, value in facts if isinstance(value, str) and value),
        signature=_signature(parsed.get("signature"), problems),
        problems=tuple(problems),
    )


def requirements(text: bytes) -> tuple[str, ...]:
    """Return the lines of a `requirements.txt` that say something."""
    lines = (line.strip() for line in text.decode("utf-8", "replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def requirement_name(line: str) -> str:
    """Return the package that a line of a `requirements.txt` is about, or the line itself."""
    for at, character in enumerate(line):
        if not (character.isalnum() or character in "-_."):
            return line[:at].lower().replace("_", "-") or line
    return line.lower().replace("_", "-")


def _flavors(flavors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, fields in flavors.items():
        flavor = fields if isinstance(fields, dict) else {}
        keys = (f"{name}_version", "python_version", "version")
        release = next((flavor[key] for key in keys if isinstance(flavor.get(key), str)), "")
        yield name, f"Python {release}" if release and name == "python_function" else release


# The signature, which is JSON inside of the YAML


def _signature(signature: object, problems: list[str]) -> dict[str, tuple[Column, ...]]:
    if not isinstance(signature, dict):
        return {}
    by_part: dict[str, tuple[Column, ...]] = {}
    for part in _PARTS:
        text = signature.get(part)
        if not isinstance(text, str) or text in ("", "null"):
            continue
        try:
            columns = json.loads(text)
            if not isinstance(columns, list):
                raise UnreadableError("it is not a list")
            by_part[part] = tuple(_column(each, at) for at, each in enumerate(columns))
        except (ValueError, RecursionError) as error:
            problems.append(f"The {part} of the signature cannot be read: {error}")
    return by_part


def _column(column: object, at: int) -> Column:
    if not isinstance(column, dict):
        raise UnreadableError("a column has no fields")
    default = column.get("default")
    return Column(
        name=str(column.get("name", at)),
        type=_type(column)[:_TYPE_MAX_LENGTH],
        is_required=column.get("required", True) is not False and "default" not in column,
        default=None if "default" not in column else json.dumps(default, ensure_ascii=False),
    )


def _type(declared: object, depth: int = 0) -> str:
    """The type of a column, as the page shows it."""
    if not isinstance(declared, dict) or depth > _DEPTH_MAX:
        return str(declared)[:_TYPE_MAX_LENGTH]
    kind = str(declared.get("type", "any"))
    tensor = declared.get("tensor-spec")
    if isinstance(tensor, dict):
        return f"tensor of {tensor.get('dtype', 'any')} {_shape(tensor.get('shape'))}"
    shape = declared.get("shape")
    suffix = f" {_shape(shape)}" if shape else ""
    match kind:
        case "array":
            return f"array of {_type(declared.get('items'), depth + 1)}"
        case "map":
            return f"map of {_type(declared.get('values'), depth + 1)}"
        case "object":
            return _object(declared.get("properties"), depth)
    return kind + suffix


def _object(properties: object, depth: int) -> str:
    if not isinstance(properties, dict):
        return "object"
    fields = (f"{name}: {_type(value, depth + 1)}" for name, value in properties.items())
    return f"{{{', '.join(fields)}}}"


def _shape(shape: object) -> str:
    sizes = shape if isinstance(shape, list) else []
    return f"({', '.join('any' if size == -1 else str(size) for size in sizes)})"


# YAML of plain values


def plain_yaml(text: bytes) -> Plain:
    """Return the value of a YAML text, in which every scalar is a text.

    Raises:
        UnreadableError: it is not YAML, or has a tag, an anchor, or values too deep in each other.
    """
    try:
        decoded = text.decode("utf-8")
        return _value(_events(decoded))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableError(" ".join(str(error).split())[:_TYPE_MAX_LENGTH]) from error


def _events(text: str) -> Iterator[yaml.Event]:
    # The loader in C, where there is one: it is ten times as fast.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=loader)):
        if count > _VALUES_MAX:
            raise UnreadableError("there is too much in it")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise UnreadableError("it refers to a part of itself")
        if getattr(event, "tag", None) is not None:
            raise UnreadableError("it names a type of its own")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise UnreadableError("there are values too deep inside of values")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _value(events: Iterable[yaml.Event]) -> Plain:
    """The value that the events make."""
    done: Plain = ""
    stack: list[list[Any]] = []
    kinds: list[type[yaml.Event]] = []
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append([])
            kinds.append(type(event))
            continue
        value: Plain = _text(event) if isinstance(event, yaml.ScalarEvent) else ""
        if isinstance(event, yaml.CollectionEndEvent):
            items = stack.pop()
            value = _mapping(items) if kinds.pop() is yaml.MappingStartEvent else items
        if stack:
            stack[-1].append(value)
        else:
            done = value
    return done


def _text(event: yaml.ScalarEvent) -> str:
    """The text of a scalar; of one that stands for nothing, an empty one."""
    is_plain = event.style in (None, "")
    return "" if is_plain and event.value in _NULLS else str(event.value)


def _mapping(items: list[Any]) -> dict[str, Any]:
    return {str(key): value for key, value in zip(items[::2], items[1::2], strict=True)}
