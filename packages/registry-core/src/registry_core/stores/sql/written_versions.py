"""The newest versions of a model: as the database gives them, and what becomes of them.

Strategy: a page of models has hundreds of newest versions, and a server only hands them on. So the
database gives their fields in the order in which an answer has them, and an answer is made of that
without a detour by entities, in half the time. A caller that needs the entities has them made then;
see `registry_core.unread`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Text, cast, column, func, literal_column, select, values
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import FromClause, ScalarSelect

from registry_core.answer_objects import (
    NUMERALS,
    ModelVersionObject,
    TagObject,
    encode_tags,
    written,
)
from registry_core.errors import StoreCorruptedError
from registry_core.fields import Field, define, scalars_of
from registry_core.models import ModelVersion, Stage, Status
from registry_core.stores.sql.json_functions import (
    BETWEEN,
    array_of_arrays,
    document,
    documents,
    object_of,
    tags_of,
    texts,
)
from registry_core.stores.sql.tables import model_version_tags, model_versions
from registry_core.stores.sql.unpacking import unpacking, unreadable

_WRITTEN = tuple(field for field in written(ModelVersion) if field.is_scalar)
"""The fields of a version that an answer has, in its order."""

_UNWRITTEN = tuple(field for field in scalars_of(ModelVersion) if not field.about.is_on_wire)


def _is_number(field: Field) -> bool:
    """Whether the database gives a field as a number. Every version has these."""
    return field.type is int and field.name not in NUMERALS


_TEXTS = tuple(field for field in (*_WRITTEN, *_UNWRITTEN) if not _is_number(field))
_NUMBERS = tuple(field for field in (*_WRITTEN, *_UNWRITTEN) if _is_number(field))

TEXTS, NUMBERS = (tuple(field.name for field in fields) for fields in (_TEXTS, _NUMBERS))
"""The names of what the database gives of a version: an array of texts, then numbers, then tags."""


# What the database gives


def latest_versions(model: FromClause, dialect: Dialect, *, of_page: bool) -> ColumnElement[Any]:
    """Return the newest version of each stage with its tags, as a JSON array in any order.

    Their aliases are among those of the model. `of_page`: it is one of many models.

    Strategy: each is the last entry of its stage in the index on (name, stage, version). A
    `GROUP BY` or a window would read every version of the model.
    """
    if dialect.name != "postgresql":
        return array_of_arrays(_newest(model, 1))
    return array_of_arrays(_last_stage_first(model) if of_page else _each_stage(model))


def _newest(above: FromClause, place: int) -> ScalarSelect[Any]:
    """The newest version of the last stage before that of `above`, and those of earlier stages.

    Strategy: the index is read backwards. Its last entry is the newest version of the stage that
    comes last by name, the last entry before that stage the newest of another one, and so on: as
    many probes as the model has stages, and one that finds no more.
    """
    version = model_versions.alias(f"latest{place}")
    stage, this = version.c.current_stage, _document(version)
    others = [_newest(version, place + 1)] if place < len(Stage) else []
    earlier = [stage < above.c.current_stage] if place > 1 else []
    return (
        select(documents(this, *others))
        .where(version.c.name == above.c.name, *earlier)
        .order_by(stage.desc(), version.c.version.desc())
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(above)
        .scalar_subquery()
    )


def _last_stage_first(model: FromClause) -> ScalarSelect[Any]:
    """As `_newest`, for pages in PostgreSQL: two levels of parts that are set up, and not four.

    Strategy: the last stage of a model tells which stages it may have besides. Most models have
    none but the stage None, which leaves one to be asked for.
    """
    version = model_versions.alias("latest1")
    stage = version.c.current_stage
    return (
        select(documents(_document(version), _each_stage(version, before=stage)))
        .where(version.c.name == model.c.name)
        .order_by(stage.desc(), version.c.version.desc())
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(model)
        .scalar_subquery()
    )


def _each_stage(
    owner: FromClause, *, before: ColumnElement[Any] | None = None
) -> ScalarSelect[Any]:
    """The newest version of each stage, or of those that come `before` one by their names.

    Strategy: PostgreSQL sets a statement up anew each time that it runs, all parts of it, whether
    they have anything to do or not. So each stage is asked for by the same part.
    """
    stages = values(column("stage", Text), name="stages", literal_binds=True).data(
        [(stage.value,) for stage in Stage]
    )
    version = model_versions.alias("latest")
    newest = (
        select(_document(version))
        .where(version.c.name == owner.c.name, version.c.current_stage == stages.c.stage)
        .order_by(version.c.version.desc())
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .correlate(owner, stages)
        .scalar_subquery()
    )
    each = select(func.string_agg(newest, BETWEEN)).select_from(stages)
    if before is not None:
        each = each.where(stages.c.stage < before)
    return each.correlate(owner).scalar_subquery()


def _document(version: FromClause) -> ColumnElement[Any]:
    """The fields and the tags of a version, as JSON."""
    numbers = (version.c[field.column] for field in _NUMBERS)
    return document(
        texts(*(_text(version, field) for field in _TEXTS)),
        *numbers,
        version_tags(version, tags_of),
    )


def _text(version: FromClause, field: Field) -> ColumnElement[Any]:
    column = version.c[field.column]
    return cast(column, Text) if field.name in NUMERALS else column


def version_tags(
    version: FromClause, gathered: type[FunctionElement[str]] = object_of
) -> ColumnElement[Any]:
    """Return the tags of a version, as a JSON object if nothing else is said."""
    tags = model_version_tags.alias("vt")
    return (
        select(gathered(tags.c.key, tags.c.value))
        .where(tags.c.name == version.c.name, tags.c.version == version.c.version)
        .scalar_subquery()
    )


# What becomes of it


def _type(field: Field) -> Any:
    """What a field is as the database gives it."""
    if field.is_word:
        return Literal[tuple(word.value for word in field.type)]
    given = str if field.name in NUMERALS else field.type
    return given | None if field.is_optional else given


def _decoder(tags: Any) -> Callable[[str], list[Any]]:
    """What reads the versions of a model, with the tags of each as this type."""
    of_texts: Any = tuple.__class_getitem__(tuple(map(_type, _TEXTS)))
    version: Any = tuple.__class_getitem__((of_texts, *map(_type, _NUMBERS), tags))
    return msgspec.json.Decoder(list[version]).decode


_decode_listed, _decode_mapped = _decoder(msgspec.Raw), _decoder(dict[str, str])
"""As a text of an answer, or as a mapping; see `json_functions.tags_of`."""

_decode_tags = msgspec.json.Decoder(list[TagObject]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_read = unpacking(ModelVersion, (*_TEXTS, *_NUMBERS), numerals=NUMERALS)

_version, _stage, _status = map(TEXTS.index, ("version", "current_stage", "status"))

_NONE: list[Any] = []
"""The tags, or the aliases, of a version that has none."""

_PLACES = {stage.value: place for place, stage in enumerate(Stage)}
"""Where the version of each stage is in an answer; the database gives them in any order."""


def _place(document: Any) -> int:
    return _PLACES[document[0][_stage]]


def by_key(mapping: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return a mapping in the order of its keys."""
    if not mapping:
        return {}
    # Indexes have them in order already, but no database promises it.
    last = ""
    for key in mapping:
        if key < last:
            return dict(sorted(mapping.items()))
        last = key
    return mapping


def _writing(tags: str) -> Callable[..., list[Any]]:
    """Make what turns fields and tags, by this expression, into the objects of an answer."""
    given = ", ".join(field.name for field in _WRITTEN)
    return define(
        "def write(documents, aliases_of):\n"
        f"    return [struct({given}, {tags}, aliases_of(version, none))"
        f" for ({', '.join(TEXTS)},), {', '.join(NUMBERS)}, tags in documents]",
        struct=ModelVersionObject,
        encode_tags=encode_tags,
        by_key=by_key,
        none=_NONE,
    )


# As the database wrote them, unless there are none: then nothing is written.
_write_listed = _writing("tags if len(tags) > len('[]') else none")
_write_mapped = _writing("encode_tags(by_key(tags))")


class WrittenVersions:
    """The newest versions of a model, by stage; see `registry_core.unread.Unread`.

    What has no stage that there is, is left out.

    Raises:
        StoreCorruptedError: no call can have written the row of a version.
    """

    __slots__ = ("_aliases", "_documents", "_is_listed")

    def __init__(self, text: str, aliases: Mapping[str, int]) -> None:
        self._is_listed = text.endswith("]]]")  # tags come last
        decode = _decode_listed if self._is_listed else _decode_mapped
        try:
            documents = decode(text)
        except msgspec.ValidationError as error:
            documents = _readable(text, decode, error)
        if len(documents) > 1:
            documents.sort(key=_place)
        self._documents = documents
        self._aliases = aliases

    @property
    def written(self) -> list[Any]:
        """Each version as answers have it."""
        named: dict[str, list[str]] = {}
        for alias, number in self._aliases.items():
            named.setdefault(str(number), []).append(alias)
        write = _write_listed if self._is_listed else _write_mapped
        return write(self._documents, named.get)

    def read(self) -> tuple[ModelVersion, ...]:
        """Return each version."""
        return tuple(
            [
                _read((*of_texts, *numbers), self._mapping(tags), self._names(of_texts))
                for of_texts, *numbers, tags in self._documents
            ]
        )

    def _mapping(self, tags: Any) -> Mapping[str, str]:
        if self._is_listed:
            tags = {tag.key: tag.value for tag in _decode_tags(tags)}
        return by_key(tags)

    def _names(self, of_texts: Any) -> tuple[str, ...]:
        number = int(of_texts[_version])
        return tuple([alias for alias, named in self._aliases.items() if named == number])


def _readable(text: str, decode: Callable[[Any], list[Any]], error: Exception) -> list[Any]:
    """What there is but for stages that there are not."""
    stages, statuses = ({word.value for word in words} for words in (Stage, Status))
    documents = [each for each in _decode_any(text) if each[0][_stage] in stages]
    for of_texts, *_ in documents:
        if of_texts[_status] not in statuses:
            raise unreadable(of_texts, repr(of_texts[_status])) from error
    try:
        return decode(_encode(documents))
    except msgspec.ValidationError:
        raise StoreCorruptedError(
            f"The newest versions of model {documents[0][0][0]!r} cannot be read: {error}"
        ) from error
