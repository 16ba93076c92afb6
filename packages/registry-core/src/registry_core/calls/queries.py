"""Searches from what callers write."""

from __future__ import annotations

from collections.abc import Sequence

from registry_core.errors import InvalidArgumentError
from registry_core.search import (
    Entity,
    Query,
    parse_filter,
    parse_order_by,
    split_prompts,
)

ITERATION_PAGE_SIZE = 1_000
"""Rows that `iter_...` methods read at a time: large enough that round trips do not dominate."""


def query_of(
    entity: Entity,
    filter_text: str | None,
    order_by: Sequence[str],
    max_results: int,
    page_token: str | None,
) -> Query:
    """Return the search that texts and numbers of a caller mean."""
    bound, exclude_prompts = split_prompts(parse_filter(filter_text, entity))
    return Query(
        entity=entity,
        filter=bound,
        order_by=parse_order_by(order_by, entity),
        max_results=max_results,
        page_token=page_token or None,
        exclude_prompts=exclude_prompts,
    )


def check_max_results(value: int, most: int) -> None:
    """Accept a number of rows for a page.

    Raises:
        InvalidArgumentError: It is not positive, or more than `most`.
    """
    if value < 1:
        raise InvalidArgumentError(
            f"Invalid value for max_results. It must be a positive integer, but got {value}"
        )
    if value > most:
        raise InvalidArgumentError(
            "Invalid value for request parameter max_results. It must be at most "
            f"{most}, but got value {value}"
        )
