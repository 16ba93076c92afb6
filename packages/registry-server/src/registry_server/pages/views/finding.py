"""The box that finds: part of a name, or a filter in MLflow's language."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from registry_core import FilterSyntaxError, InvalidArgumentError, validation
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Filter,
    Op,
    Query,
    TagRef,
    parse_filter,
    parse_order_by,
    split_prompts,
)
from registry_core.search.language import FILTER_MAX_LENGTH
from registry_core.validation import PROMPT_TAG

PROMPTS: Filter = (Comparison(TagRef(PROMPT_TAG), Op.EQ, "true"),)
"""The filter that asks for prompts; without it, searches leave them out."""

LABEL_MAX_LENGTH = 100
"""Characters of a tag's value that a click may search for; a longer value is not a label."""

_OPERATOR = re.compile(r"[=<>]|\b(?:I?LIKE|IN)\b", re.IGNORECASE)
"""What makes a text a filter: names rarely have it, and filters always."""

_SPECIAL = re.compile(r"[\\%_]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_VALUE = re.compile(r"[^'\"\\]*\Z")


@attrs.frozen(kw_only=True)
class Search:
    """What a text in the box asks for, or why it cannot."""

    filter: Filter = ()
    problem: str | None = None
    caret: str | None = None
    """The line of the text at fault, and carets under the fault."""


def models(text: str) -> Search:
    """Return the models that a text asks for: a filter, or part of a name in any case."""
    return _parsed(text, Entity.REGISTERED_MODEL, _named)


def versions(text: str) -> Search:
    """Return the versions that a text asks for: a filter, a number, or the start of a run's id."""
    return _parsed(text, Entity.MODEL_VERSION, _numbered)


def query(
    entity: Entity, clauses: Filter, *, order: str, max_results: int, page_token: str | None
) -> Query:
    """Return the search for what is wanted. Prompts are left out unless they are asked for.

    Raises:
        InvalidArgumentError: the order cannot be.
    """
    bound, exclude_prompts = split_prompts(clauses)
    return Query(
        entity=entity,
        filter=bound,
        order_by=parse_order_by((order,), entity),
        max_results=max_results,
        page_token=page_token or None,
        exclude_prompts=exclude_prompts,
    )


def versions_of(name: str, *, is_prompt: bool) -> Filter:
    """Return the filter for the versions of one model. The name need not fit into any quotes."""
    named = (Comparison(AttributeRef("name"), Op.EQ, name),)
    return (*named, *PROMPTS) if is_prompt else named


def by_tag(key: str, value: str) -> str | None:
    """Return the text that finds what has a tag.

    None where it takes more than plain quotes to write.
    """
    if len(value) > LABEL_MAX_LENGTH or not _PLAIN_VALUE.match(value):
        return None
    quoted = key if _PLAIN_KEY.match(key) else f"`{key}`"
    return f"tags.{quoted} = '{value}'"


def _parsed(text: str, entity: Entity, meant: Callable[[str], Filter]) -> Search:
    text = text.strip()
    if not text:
        return Search()
    try:
        validation.text(text, parameter="q", max_length=FILTER_MAX_LENGTH)
        is_filter = _OPERATOR.search(text) is not None
        return Search(filter=parse_filter(text, entity) if is_filter else meant(text))
    except FilterSyntaxError as error:
        return Search(problem=str(error), caret=error.caret())
    except InvalidArgumentError as error:
        return Search(problem=str(error))


def _named(part: str) -> Filter:
    pattern = "%" + _SPECIAL.sub(r"\\\g<0>", part) + "%"
    return (Comparison(AttributeRef("name"), Op.ILIKE, pattern),)


def _numbered(text: str) -> Filter:
    if text.isascii() and text.isdecimal():
        return parse_filter(f"version_number = {text}", Entity.MODEL_VERSION)
    beginning = _SPECIAL.sub(r"\\\g<0>", text) + "%"
    return (Comparison(AttributeRef("run_id"), Op.LIKE, beginning),)
