"""Hypothesis strategies for everything a store is given: legal, and as odd as that allows.

Strategy: what depends on the names, keys and values of an example is drawn by functions, from
strategies that are the same in every example. Hypothesis looks at a new strategy far longer than it
takes to draw from one that it knows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
from hypothesis import strategies as st

from registry_core import validation
from registry_core.errors import InvalidArgumentError
from registry_core.fields import fields_of
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    Stage,
    Status,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.search import Entity
from registry_core.testing import samples

T = TypeVar("T")

Draw: TypeAlias = Callable[[st.SearchStrategy[T]], T]
"""What Hypothesis gives a composite strategy to draw with."""

LONG = 5_000
"""Characters of a long text: past every limit at which a store may keep it elsewhere."""

_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x00")
_WORD = st.text("aAbB\u00e9\u00c9%_\\'. ", min_size=1, max_size=4)
"""Short, so that two of them are often equal, or nearly."""


def _legal(check: Callable[[str], object]) -> Callable[[str], bool]:
    def is_legal(value: str) -> bool:
        try:
            check(value)
        except InvalidArgumentError:
            return False
        return True

    return is_legal


def names() -> st.SearchStrategy[str]:
    """Names of registered models."""
    anything = st.text(_CHARACTERS, min_size=1, max_size=validation.NAME_MAX_LENGTH)
    legal = (_WORD | anything).filter(_legal(validation.model_name))
    return legal | st.sampled_from(samples.NAMES)


def tag_keys() -> st.SearchStrategy[str]:
    """Keys of tags."""
    alphabet = st.characters(categories=["L", "N"], include_characters="/_.-: ")
    anything = st.text(alphabet, min_size=1, max_size=validation.TAG_KEY_MAX_LENGTH)
    return anything.filter(_legal(validation.tag_key)) | st.sampled_from(samples.TAG_KEYS)


def aliases() -> st.SearchStrategy[str]:
    """Aliases that may be set."""
    alphabet = st.characters(categories=["L", "N"], include_characters="_-")
    anything = st.text(alphabet, min_size=1, max_size=validation.ALIAS_MAX_LENGTH)
    return anything.filter(_legal(validation.new_alias)) | st.sampled_from(samples.ALIASES)


def texts() -> st.SearchStrategy[str]:
    """Tag values, descriptions, sources, run ids: any text, sometimes a long one."""
    long = st.sampled_from(["x" * LONG, "x" * (LONG - 1) + "y", samples.EMOJI * LONG])
    return st.one_of(st.just(""), _WORD, _WORD, st.text(_CHARACTERS, max_size=20), long)


def optional_texts() -> st.SearchStrategy[str | None]:
    """As `texts`, or None."""
    return st.none() | texts()


@functools.cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def _pick(draw: Draw[int], values: Sequence[T]) -> T:
    return values[draw(_below(len(values)))]


def _pick_if_any(draw: Draw[int], values: Sequence[T]) -> T | None:
    index = draw(_below(2 * len(values)))
    return None if index < len(values) else values[index - len(values)]


def _pick_some(draw: Draw[int], values: Sequence[T], *, least: int) -> list[T]:
    """At least so many, and at most three, of the values."""
    return [_pick(draw, values) for _ in range(least + draw(_below(4 - least)))]


def _tags(draw: Draw[int], keys: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    chosen = dict.fromkeys(_pick_some(draw, keys, least=0))
    return {key: _pick(draw, values) for key in chosen}


def stages() -> st.SearchStrategy[tuple[Stage, bool]]:
    """Stages to move to, and whether to archive those that are there."""
    return st.tuples(st.sampled_from(list(Stage)), st.booleans()).map(
        lambda drawn: (drawn[0], drawn[1] and drawn[0].is_active)
    )


_PROMPT_MARKERS: Sequence[dict[str, str]] = (
    {},
    {},
    {validation.PROMPT_TAG: "true"},
    {validation.PROMPT_TAG: "True"},
)


@st.composite
def new_registered_models(
    draw: Draw[int], name: str, keys: Sequence[str], values: Sequence[str]
) -> NewRegisteredModel:
    """Registered models to create, sometimes prompts."""
    return NewRegisteredModel(
        name=name,
        description=_pick_if_any(draw, values),
        tags={**_tags(draw, keys, values), **_pick(draw, _PROMPT_MARKERS)},
        deployment_job_id=_pick(draw, (None, "", "job")),
    )


_DRAFTED = frozenset(attribute.name for attribute in attrs.fields(NewModelVersion))
_DRAFTED_TEXTS = tuple(
    field
    for field in fields_of(ModelVersion)
    if field.name in _DRAFTED and field.type is str and field.is_optional
)


@st.composite
def new_model_versions(
    draw: Draw[int], name: str, keys: Sequence[str], values: Sequence[str]
) -> NewModelVersion:
    """Model versions to create."""
    short = [value for value in values if len(value) <= validation.RUN_ID_MAX_LENGTH] or ["short"]
    texts: dict[str, Any] = {
        field.name: _pick_if_any(draw, values if field.about.is_long else short)
        for field in _DRAFTED_TEXTS
    }
    return NewModelVersion(
        name=name,
        source=_pick(draw, short),
        tags=_tags(draw, keys, values),
        status=_pick(draw, (Status.READY, Status.PENDING_REGISTRATION)),
        **texts,
    )


def webhook_events() -> st.SearchStrategy[tuple[WebhookEvent, ...]]:
    """Events of a webhook."""
    event = st.builds(
        WebhookEvent, st.sampled_from(list(WebhookEntity)), st.sampled_from(list(WebhookAction))
    )
    return st.lists(event, min_size=1, max_size=4, unique=True).map(tuple)


@st.composite
def filters(
    draw: Draw[int],
    entity: Entity,
    *,
    names: Sequence[str],
    keys: Sequence[str],
    values: Sequence[str],
) -> str:
    """Filter texts, by the grammar of contract 4.1, that are about these names, keys and values."""
    names, values = _quotable(names), _quotable(values)
    clauses: list[Callable[[], str]] = [
        lambda: _text_clause(draw, _pick(draw, ("name", "attribute.name")), names),
        lambda: _list_clause(draw, "name", names),
        lambda: _text_clause(draw, _tag_identifier(draw, keys), values),
    ]
    if entity is Entity.MODEL_VERSION:
        clauses += [
            lambda: _text_clause(draw, _pick(draw, ("run_id", "source_path")), values),
            lambda: _list_clause(draw, "run_id", values),
            lambda: _number_clause(draw),
        ]
    separator = _pick(draw, (" AND ", " and ", "\nAnd\t"))
    return separator.join(clause() for clause in _pick_some(draw, clauses, least=0))


def orders(entity: Entity) -> st.SearchStrategy[tuple[str, ...]]:
    """Order texts."""
    keys = ["name", "last_updated_timestamp"]
    if entity is Entity.MODEL_VERSION:
        keys += ["version_number", "creation_timestamp"]
    direction = st.sampled_from(["", " ASC", " DESC", " desc"])
    return st.lists(st.sampled_from(keys), unique=True, max_size=len(keys)).flatmap(
        lambda chosen: st.tuples(*(direction.map(key.__add__) for key in chosen))
    )


def _quotable(values: Sequence[str]) -> list[str]:
    # The language has no escapes in values: what needs both quotes cannot be said in it.
    return [
        value
        for value in values
        if not ("'" in value and '"' in value) and not value.endswith("\\")
    ] or ["a"]


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


_WILDCARDS = ("", "%", "_", "\\%", "\\_", "\\\\", "%%")


def _pattern(draw: Draw[int], values: Sequence[str]) -> str:
    """A pattern near the values: parts of one with wildcards and escapes between."""
    shown = _pick(draw, values)[:20]
    start, end = draw(_below(len(shown) + 1)), draw(_below(len(shown) + 1))
    first, second, third = (_pick(draw, _WILDCARDS) for _ in range(3))
    text = f"{first}{shown[:start]}{second}{shown[max(start, end) :]}{third}"
    pattern = text.swapcase() if _pick(draw, (True, False)) else text
    return _quotable([pattern])[0]


def _text_clause(draw: Draw[int], identifier: str, values: Sequence[str]) -> str:
    op = _pick(draw, ("=", "!=", "LIKE", "ILIKE", "like"))
    literal = _pick(draw, values) if op in {"=", "!="} else _pattern(draw, values)
    return f"{identifier} {op} {_quoted(literal)}"


def _list_clause(draw: Draw[int], identifier: str, values: Sequence[str]) -> str:
    # Lists are Python literals, which `repr` writes.
    op = _pick(draw, ("IN", "NOT IN", "not in"))
    return f"{identifier} {op} ({', '.join(map(repr, _pick_some(draw, values, least=1)))})"


_NUMBERS = (*range(-1, 7), 2**31 - 1, 2**31, -(2**63), 10**30)


def _number_clause(draw: Draw[int]) -> str:
    op = _pick(draw, ("=", "!=", "<", "<=", ">", ">="))
    return f"version_number {op} {_pick(draw, _NUMBERS)}"


def _tag_identifier(draw: Draw[int], keys: Sequence[str]) -> str:
    return f"{_pick(draw, ('tag.', 'tags.'))}`{_pick(draw, keys)}`"
