"""Hypothesis strategies for everything a store is given: legal, and as odd as that allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def tags(keys: Sequence[str], values: Sequence[str]) -> st.SearchStrategy[dict[str, str]]:
    """Tags of these keys and values."""
    return st.dictionaries(st.sampled_from(keys), st.sampled_from(values), max_size=len(keys))


def stages() -> st.SearchStrategy[tuple[Stage, bool]]:
    """Stages to move to, and whether to archive those that are there."""
    return st.tuples(st.sampled_from(list(Stage)), st.booleans()).map(
        lambda drawn: (drawn[0], drawn[1] and drawn[0].is_active)
    )


def new_registered_models(
    name: str, keys: Sequence[str], values: Sequence[str]
) -> st.SearchStrategy[NewRegisteredModel]:
    """Registered models to create, sometimes prompts."""
    marker = st.sampled_from(
        [{}, {}, {validation.PROMPT_TAG: "true"}, {validation.PROMPT_TAG: "True"}]
    )
    return st.builds(
        NewRegisteredModel,
        name=st.just(name),
        description=st.none() | st.sampled_from(values),
        tags=st.builds(lambda given, mark: {**given, **mark}, tags(keys, values), marker),
        deployment_job_id=st.sampled_from([None, "", "job"]),
    )


def new_model_versions(
    name: str, keys: Sequence[str], values: Sequence[str]
) -> st.SearchStrategy[NewModelVersion]:
    """Model versions to create."""
    short = [value for value in values if len(value) <= validation.RUN_ID_MAX_LENGTH] or ["short"]
    drafted = {attribute.name for attribute in attrs.fields(NewModelVersion)}
    texts: dict[str, Any] = {
        field.name: st.none() | st.sampled_from(values if field.about.is_long else short)
        for field in fields_of(ModelVersion)
        if field.name in drafted and field.type is str and field.is_optional
    }
    return st.builds(
        NewModelVersion,
        name=st.just(name),
        source=st.sampled_from(short),
        tags=tags(keys, values),
        status=st.sampled_from([Status.READY, Status.PENDING_REGISTRATION]),
        **texts,
    )


def webhook_events() -> st.SearchStrategy[tuple[WebhookEvent, ...]]:
    """Events of a webhook."""
    event = st.builds(
        WebhookEvent, st.sampled_from(list(WebhookEntity)), st.sampled_from(list(WebhookAction))
    )
    return st.lists(event, min_size=1, max_size=4, unique=True).map(tuple)


def filters(
    entity: Entity, *, names: Sequence[str], keys: Sequence[str], values: Sequence[str]
) -> st.SearchStrategy[str]:
    """Filter texts, by the grammar of contract 4.1, that are about these names, keys and values."""
    names, values = _quotable(names), _quotable(values)
    clauses = [
        _text_clauses(st.just("name") | st.just("attribute.name"), names),
        _list_clauses("name", names),
        _text_clauses(st.sampled_from(keys).flatmap(_tag_identifiers), values),
    ]
    if entity is Entity.MODEL_VERSION:
        clauses += [
            _text_clauses(st.sampled_from(["run_id", "source_path"]), values),
            _list_clauses("run_id", values),
            _number_clauses(),
        ]
    separator = st.sampled_from([" AND ", " and ", "\nAnd\t"])
    some = st.lists(st.one_of(clauses), max_size=3)
    return st.builds(lambda sep, parts: sep.join(parts), separator, some)


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


def _patterns(values: Sequence[str]) -> st.SearchStrategy[str]:
    """Patterns near the values: parts of them with wildcards and escapes between."""
    wildcard = st.sampled_from(["", "%", "_", "\\%", "\\_", "\\\\", "%%"])

    def cut(value: str) -> st.SearchStrategy[str]:
        shown = value[:20]
        start, end = st.integers(0, len(shown)), st.integers(0, len(shown))
        return st.builds(
            lambda i, j, first, second, third: (
                f"{first}{shown[:i]}{second}{shown[max(i, j) :]}{third}"
            ),
            *(start, end, wildcard, wildcard, wildcard),
        )

    near = st.sampled_from(values).flatmap(cut)
    return st.builds(lambda text, swap: text.swapcase() if swap else text, near, st.booleans())


def _text_clauses(
    identifiers: st.SearchStrategy[str], values: Sequence[str]
) -> st.SearchStrategy[str]:
    equal = st.builds(
        "{} {} {}".format, identifiers, st.sampled_from(["=", "!="]), _literals(values)
    )
    patterns = _patterns(values).filter(lambda pattern: _quotable([pattern]) == [pattern])
    alike = st.builds(
        "{} {} {}".format,
        identifiers,
        st.sampled_from(["LIKE", "ILIKE", "like"]),
        patterns.map(_quoted),
    )
    return equal | alike


def _literals(values: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(values).map(_quoted)


def _list_clauses(identifier: str, values: Sequence[str]) -> st.SearchStrategy[str]:
    # Lists are Python literals, which `repr` writes.
    listed = st.lists(st.sampled_from(values).map(repr), min_size=1, max_size=3)
    return st.builds(
        lambda op, literals: f"{identifier} {op} ({', '.join(literals)})",
        st.sampled_from(["IN", "NOT IN", "not in"]),
        listed,
    )


def _number_clauses() -> st.SearchStrategy[str]:
    number = st.integers(-1, 6) | st.sampled_from([2**31 - 1, 2**31, -(2**63), 10**30])
    ops = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return st.builds("version_number {} {}".format, ops, number)


def _tag_identifiers(key: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["tag.", "tags."]).map(lambda prefix: f"{prefix}`{key}`")
