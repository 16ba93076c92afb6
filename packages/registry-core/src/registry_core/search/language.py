"""Filter texts to filters and back, and the rule that keeps prompts apart from models."""

from __future__ import annotations

import functools

from registry_core import validation
from registry_core.search.fields import bind
from registry_core.search.nodes import Comparison, Entity, Filter, Op, TagRef
from registry_core.search.parser import clauses

FILTER_MAX_LENGTH = 1_000_000
"""Characters of a filter: a list of 10,000 run ids is 360,000."""

_REMEMBERED_FILTERS, _SHORT_FILTER = 1_024, 256
"""How many of the latest filters are not parsed again, and how many characters each may have. A
program asks for the versions of the same few models again and again."""

_MARKER = TagRef(validation.PROMPT_TAG)


def parse_filter(text: str | None, entity: Entity) -> Filter:
    """Return the filter that a text means for an entity; None and the empty text match everything.

    Raises:
        InvalidArgumentError: the text is not a filter, or asks what the entity cannot answer; as a
            `FilterSyntaxError` where a part of the text is at fault.
    """
    if not text:
        return ()
    validation.text(text, parameter="filter", max_length=FILTER_MAX_LENGTH)
    return _remembered(text, entity) if len(text) <= _SHORT_FILTER else _parsed(text, entity)


def _parsed(text: str, entity: Entity) -> Filter:
    # As on MLflow, a text is read to its end before anything is made of it.
    read = list(clauses(text))
    return tuple(bind(clause, entity) for clause in read)


_remembered = functools.lru_cache(maxsize=_REMEMBERED_FILTERS)(_parsed)


def split_prompts(filter: Filter) -> tuple[Filter, bool]:  # noqa: A002 the word of the language
    """Return the filter to run, and whether to exclude prompts from its results (contract 4.5).

    A filter whose first clause on the prompt tag asks for prompts is an ordinary one. Any other
    means models: its clauses on that tag are dropped, because models do not have the tag.
    """
    marker = next((item for item in filter if item.operand == _MARKER), None)
    if marker is not None and _asks_for_prompts(marker):
        return filter, False
    return tuple(item for item in filter if item.operand != _MARKER), True


def _asks_for_prompts(marker: Comparison) -> bool:
    value = str(marker.value).lower()
    return (marker.op, value) in {(Op.EQ, "true"), (Op.NE, "false")}
