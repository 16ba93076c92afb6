"""Aligned text: columns line up, and fit where they must."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from registry_cli.tables import (
    SAMPLE_ROWS,
    display_width,
    printable,
    record_lines,
    table_lines,
)
from services.examples import examples

ROWS = st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8)


@settings(max_examples=examples(60))
@given(ROWS)
def test_columns_start_at_one_place(rows: list[tuple[str, str]]) -> None:
    """Whatever the cells hold, the second column starts at the same width on every line."""
    marked = [(first, f"|{second}") for first, second in rows]
    lines = list(table_lines(("A", "|"), marked))
    width = max(map(display_width, ["A", *(printable(first) for first, _ in rows)])) + 2
    assert len(lines) == len(rows) + 1
    for line, (first, _) in zip(lines[1:], rows, strict=True):
        shown = printable(first)
        assert line.startswith(shown + " " * (width - display_width(shown)) + "|")


@settings(max_examples=examples(60))
@given(ROWS, st.integers(min_value=18, max_value=60))
def test_a_table_fits_the_terminal(rows: list[tuple[str, str]], width: int) -> None:
    """No line is wider than the terminal, if there is room for the narrowest columns."""
    assert all(display_width(line) <= width for line in table_lines(("A", "B"), rows, width=width))


def test_the_widest_column_is_shortened_first() -> None:
    """Names and numbers stay whole while a long text gives way; an ellipsis tells."""
    lines = list(table_lines(("NAME", "SOURCE"), [("churn", "s3://bucket/" + "x" * 50)], width=30))
    assert lines == ["NAME   SOURCE", "churn  s3://bucket/xxxxxxxxxx…"]


def test_nothing_is_shortened_without_a_width() -> None:
    """A pipe gets every character."""
    assert list(table_lines(("A",), [("x" * 5000,)]))[1] == "x" * 5000


def test_wide_characters_count_twice_and_marks_not_at_all() -> None:
    """Chinese and combined letters keep the columns straight."""
    assert display_width("模型") == 4
    assert display_width("e\u0301") == 1
    assert list(table_lines(("A", "B"), [("模型", "x"), ("e\u0301", "y")])) == [
        "A     B",
        "模型  x",
        "e\u0301     y",
    ]


def test_rows_after_the_sample_are_not_held() -> None:
    """The first lines come out before the last rows are read."""
    read = []

    def rows():
        for number in range(3 * SAMPLE_ROWS):
            read.append(number)
            yield (str(number),)

    lines = table_lines(("N",), rows())
    next(lines)
    assert len(read) <= SAMPLE_ROWS + 1


def test_a_record_leaves_out_what_is_empty() -> None:
    """Fields without a value are not shown; further lines of a value stand below it."""
    assert list(record_lines([("a", "1"), ("b", ""), ("long", "x\ny")])) == [
        "a     1",
        "long  x",
        "      y",
    ]


def test_printable_keeps_letters_of_any_language() -> None:
    """Only what a terminal would act on is escaped."""
    assert printable("naïve 模型 🎉") == "naïve 模型 🎉"
    assert printable("a\tb\x7f\u2028\ufeff\ud800") == "a\\tb\\x7f\\u2028\\ufeff\\ud800"
