"""What LIKE and ILIKE match."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.search.like import (
    PATTERN_MAX_LENGTH,
    Wildcard,
    escaped,
    like_prefix,
    matcher,
    parts,
    sql_like_pattern,
)
from services.examples import examples

ANY_RUN, ANY_ONE = Wildcard.ANY_RUN, Wildcard.ANY_ONE


@pytest.mark.parametrize(
    ("pattern", "meaning"),
    [
        ("", []),
        ("abc", ["abc"]),
        ("a%b_c", ["a", ANY_RUN, "b", ANY_ONE, "c"]),
        (r"50\%", ["50%"]),
        (r"a\_b", ["a_b"]),
        (r"a\\b", ["a\\b"]),
        (r"\\%", ["\\", ANY_RUN]),
        (r"C:\dir\%", ["C:\\dir%"]),
        ("end\\", ["end\\"]),
    ],
)
def test_parts_read_escapes(pattern, meaning):
    """A backslash makes wildcards and itself literal, and is literal before anything else."""
    assert list(parts(pattern)) == meaning


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("%", "a\nb", True),
        ("_", "\n", True),
        ("_", "", False),
        ("a%", "abc", True),
        ("a%", "ba", False),
        ("%a", "cba", True),
        ("a%a", "a", False),
        ("a%a", "aa", True),
        ("%ab%ab%", "ab-ab", True),
        ("%ab%ab%", "aab", False),
        ("a_c%", "abcd", True),
        ("%_b_%", "abc", True),
        ("%_b_%", "ab", False),
        ("A%", "abc", False),
        (r"50\%", "50%", True),
        (r"50\%", "500", False),
        (r"a\_b", "axb", False),
        ("a.b", "axb", False),
        ("._", ".x", True),
        ("._________________", "." + "x" * 17, True),
        ("._________________", "x" * 18, False),
        ("[a]*", "[a]*", True),
    ],
)
def test_matcher_matches_whole_values(pattern, value, matches):
    """Wildcards stand for any characters, newlines too, and the whole value must match."""
    assert matcher(pattern)(value) is matches


@pytest.mark.parametrize(
    ("pattern", "value"),
    [("ABC%", "abcdef"), ("%straße", "STRAßE"), ("ÉTÉ", "été"), (r"A\_%", "a_B"), ("%Я%", "меня")],
)
def test_matcher_folds_case_of_any_letter(pattern, value):
    """ILIKE compares lower case, beyond ASCII too."""
    assert matcher(pattern, fold_case=True)(value)
    assert not matcher(pattern)(value)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("abc%", "abc"), ("abc", "abc"), ("%a", ""), (r"a\%b%", "a%b"), ("a_b", "a"), ("", "")],
)
def test_like_prefix_is_literal(pattern, prefix):
    """The prefix is the text, without escapes, that every match starts with."""
    assert like_prefix(pattern) == prefix


@pytest.mark.parametrize(
    ("pattern", "sql"),
    [
        (r"C:\dir%", r"C:\\dir%"),
        (r"50\%_", r"50\%_"),
        (r"a\\%", r"a\\%"),
        ("end\\", r"end\\"),
    ],
)
def test_sql_like_pattern_escapes_every_literal_backslash(pattern, sql):
    """SQL with ESCAPE refuses a backslash before an ordinary character, or at the end."""
    assert sql_like_pattern(pattern) == sql
    assert list(parts(sql)) == list(parts(pattern))


PATTERNS = st.text(alphabet="ab%_\\.\n", max_size=8)
VALUES = st.text(alphabet="ab%_\\.\n", max_size=8)


@given(PATTERNS, VALUES)
@settings(max_examples=examples(500))
def test_matcher_agrees_with_a_regular_expression(pattern, value):
    """The linear matcher gives what the obvious, backtracking one gives."""
    words = {ANY_RUN: ".*", ANY_ONE: "."}
    expression = "".join(
        words[p] if isinstance(p, Wildcard) else re.escape(p) for p in parts(pattern)
    )
    assert matcher(pattern)(value) is bool(re.fullmatch(expression, value, re.DOTALL))


@given(PATTERNS)
def test_sql_like_pattern_keeps_the_meaning(pattern):
    """The pattern for SQL means the same, and escapes only what may be escaped."""
    sql = sql_like_pattern(pattern)
    assert list(parts(sql)) == list(parts(pattern))
    assert not re.sub(r"\\[%_\\]", "", sql).count("\\")


@given(VALUES)
def test_escaped_matches_itself_only(value):
    """An escaped text is its own pattern and has no wildcard."""
    assert matcher(escaped(value))(value)
    assert like_prefix(escaped(value)) == value


@pytest.mark.parametrize("repeated", ["%a", "%a_", "%_", "a%b%", "%\\%"])
def test_matcher_does_not_backtrack(repeated):
    """Patterns that would take a backtracking matcher for ever cost one walk."""
    pattern = (repeated * PATTERN_MAX_LENGTH)[: PATTERN_MAX_LENGTH - 2] + "%b"
    started = time.process_time()
    matcher(pattern)("a" * 20_000)
    assert time.process_time() - started < 2
