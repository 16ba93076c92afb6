"""How many rows a page has, so that it is not too large for memory."""

from __future__ import annotations

import itertools
import json

import pytest

from registry_core import ModelVersion, Page, RegisteredModel
from registry_core.search import CutPage, Entity, Query
from registry_core.search.ordering import parse_order_by
from registry_core.search.page_sizes import (
    AFTER_SHORT,
    FEWEST_ROWS,
    FIRST_ROWS,
    MOST_ROWS,
    PAGE_BYTES,
    PageRows,
    fitting_rows,
    row_bytes,
)
from registry_core.wire import encode_model_version, encode_registered_model, plain

QUERY = Query(
    entity=Entity.MODEL_VERSION,
    order_by=parse_order_by(("name",), Entity.MODEL_VERSION),
    max_results=1,
)


def version(number: int, description: str = "", tags: int = 0) -> ModelVersion:
    return ModelVersion(
        name="churn",
        version=number,
        creation_timestamp=1_700_000_000_000,
        last_updated_timestamp=1_700_000_000_000,
        source="s3://bucket/experiments/1/artifacts/model",
        run_id="0" * 32,
        description=description,
        tags={f"key {n}": "value" for n in range(tags)},
    )


@pytest.mark.parametrize(
    ("description", "tags"),
    [("", 0), ("", 200), ("x" * 20_000, 2), ("Wägen " * 2_000, 0), ("模型" * 5_000, 0)],
    ids=["nothing", "tags", "ASCII", "Latin", "Chinese"],
)
def test_sizes_are_about_those_of_an_answer(description: str, tags: int) -> None:
    one = version(1, description, tags)
    model = RegisteredModel(
        name="churn",
        creation_timestamp=1,
        last_updated_timestamp=1,
        description=description,
        latest_versions=(one, version(2)),
    )
    for guessed, fields in (
        (row_bytes(one), encode_model_version(one)),
        (row_bytes(model), encode_registered_model(model)),
    ):
        size = len(json.dumps({"rows": [plain(fields)]}, indent=2))
        assert 0.8 * size < guessed < 1.2 * size + 700


def test_pages_have_the_rows_that_fit() -> None:
    rows = PageRows[ModelVersion]()
    assert rows.rows == FIRST_ROWS
    rows.see(Page([version(n) for n in range(50)], "t"))
    assert rows.rows == MOST_ROWS
    rows.see(Page([version(n, "x" * 20_000) for n in range(50)], "t"))
    assert 0.9 * PAGE_BYTES < rows.rows * 20_500 <= PAGE_BYTES
    rows.see(Page([version(n, "x" * 2 * PAGE_BYTES) for n in range(2)], "t"))
    assert rows.rows == FEWEST_ROWS


def test_after_a_page_that_was_cut_short_come_small_ones_for_a_while() -> None:
    """What was too large there is not in the rows that came, and need not go on."""
    rows = PageRows[ModelVersion]()
    rows.see(Page([version(n) for n in range(50)], "t"))
    rows.see(CutPage([version(n) for n in range(10)], "t"))
    counts = [rows.rows]
    while rows.rows < MOST_ROWS:
        rows.see(Page([version(n) for n in range(rows.rows)], "t"))
        counts.append(rows.rows)
    assert counts == [AFTER_SHORT * 10, 100, 200, 400, 800, MOST_ROWS]


def test_a_server_that_leaves_out_rows_of_a_page_is_asked_for_as_many() -> None:
    """Some have rows that the caller may not see, and count them all the same."""
    rows = PageRows[ModelVersion]()
    for _ in range(10):
        rows.see(Page([version(1)], "t"))
    assert rows.rows == MOST_ROWS


@pytest.mark.parametrize(("is_limited", "first"), [(False, FIRST_ROWS), (True, MOST_ROWS)])
def test_every_row_of_a_search_comes_once(is_limited: bool, first: int) -> None:
    asked = []

    def search(query: Query) -> Page[ModelVersion]:
        asked.append(query.max_results)
        start = int(query.page_token or 0)
        end = min(3_000, start + query.max_results)
        text = "x" * 5_000
        return Page(
            [version(n, text) for n in range(start, end)], str(end) if end < 3_000 else None
        )

    found = fitting_rows(search, QUERY, is_limited=is_limited)
    assert [each.version for each in found] == [*range(3_000)]
    assert asked[0] == first
    assert all(rows * 5_000 < PAGE_BYTES for rows in itertools.islice(asked, 1, None))
