"""`nox -s fuzz`: coverage-guided texts for everything that reads a caller's words.

    python -m fuzz -max_total_time=300

Each input is read as a filter, an order, a page token and a pattern. Whatever it is, the answer is
a value or an `InvalidArgumentError` with a short message, and costs no more CPU time than its
length allows; what is a filter can be printed, and means the same when it is read again. Options
are libFuzzer's; an input that breaks a rule is written to `crash-*` and fails the run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import atheris

from differential import filters, values
from differential.routes import MV, RM

with atheris.instrument_imports(include=["registry_core.search"]):
    from registry_core.errors import FilterSyntaxError, InvalidArgumentError
    from registry_core.models import ModelVersion, Stage
    from registry_core.search import Entity, parse_filter, parse_order_by, render_filter
    from registry_core.search.evaluate import predicate
    from registry_core.search.paging import decode

MESSAGE_MAX_LENGTH = 2_000
"""Characters of an error: it repeats some of the caller's text, never all of a long one. Only a page
token is shown whole, as MLflow does."""

CPU_SECONDS = 1.0
CPU_SECONDS_PER_KIB = 0.05
"""What an input may cost. Most cost a thousandth; what is quadratic exceeds it at 64 KiB."""

LONG = 32 * 1024
"""Characters to which an input is repeated if its first byte says so: slowness shows in long texts."""

SEEDS = (
    *filters.BROKEN,
    *(filters.clause(Random(seed), path) for seed in range(50) for path in (RM, MV)),
    *("name DESC", "attribute.name", "timestamp ASC", "version_number desc"),
    *values.TOKENS,
)
"""Where the search begins: the texts of the differential replay."""

VERSION = ModelVersion(
    name="churn",
    version=1,
    source="s3://b/a%_\\'é\n",
    run_id="r1",
    current_stage=Stage.NONE,
    creation_timestamp=1,
    last_updated_timestamp=1,
    tags={"a": "v", "a b": "É'x", "": ""},
)


def test_one_input(data: bytes) -> None:
    """Raises if a rule is broken. The first byte says how the others, a text, are read."""
    how = data[0] if data else 0
    entity = Entity.MODEL_VERSION if how & 1 else Entity.REGISTERED_MODEL
    # What is no UTF-8 becomes lone surrogates, which JSON can carry too.
    text = data[1:].decode(errors="surrogateescape")
    if how & 2 and text:
        text *= LONG // len(text) or 1
    for reads in (_filter, _order, _token, _pattern):
        _in_time(reads, text, entity)


def _in_time(reads: Callable[[str, Entity], Any], text: str, entity: Entity) -> None:
    started = time.process_time()
    try:
        reads(text, entity)
    except InvalidArgumentError as error:
        _check_error(error, may_be_long=reads is _token)
    taken = time.process_time() - started
    allowed = CPU_SECONDS + CPU_SECONDS_PER_KIB * len(text) / 1024
    assert taken <= allowed, f"{reads.__name__}: {len(text)} characters took {taken:.1f} s"


def _check_error(error: InvalidArgumentError, *, may_be_long: bool) -> None:
    length = len(str(error))
    assert may_be_long or length <= MESSAGE_MAX_LENGTH, f"an error of {length} characters"
    if isinstance(error, FilterSyntaxError):
        start, end = error.span
        assert 0 <= start <= end <= len(error.source), f"a span outside of its text: {error}"


def _filter(text: str, entity: Entity) -> None:
    found = parse_filter(text, entity)
    if entity is Entity.MODEL_VERSION:
        predicate(found)(VERSION)
    try:
        printed = render_filter(found)
    except InvalidArgumentError:
        return  # some values cannot be written inside any quotes
    assert parse_filter(printed, entity) == found, f"printed otherwise: {printed!r}"


def _order(text: str, entity: Entity) -> None:
    parse_order_by([text], entity)
    parse_order_by(text.split(","), entity)


def _token(text: str, _: Entity) -> None:
    decode(text)


def _pattern(text: str, _: Entity) -> None:
    for operator in ("LIKE", "ILIKE"):
        quote = '"' if "'" in text else "'"
        matches = predicate(
            parse_filter(f"source_path {operator} {quote}{text}{quote}", Entity.MODEL_VERSION)
        )
        matches(VERSION)


def main() -> None:
    """Fuzzes until libFuzzer's options say that it is enough."""
    options = sys.argv[1:] or ["-max_total_time=300"]
    with tempfile.TemporaryDirectory() as seeds:
        for number, text in enumerate(SEEDS):
            data = bytes([number % 4]) + text.encode(errors="surrogateescape")
            Path(seeds, str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *options, seeds], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
