"""Text to tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.search.tokens import LIST_MAX_DEPTH, Kind, tokens
from services.examples import examples


def read(text):
    return [(token.kind, token.text) for token in tokens(text)][:-1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("name", Kind.NAME),
        ("tags.team", Kind.NAME),
        ("tags.a.b.c", Kind.NAME),
        ("tags.1st", Kind.NAME),
        ("tags.été", Kind.NAME),
        ("tags.", Kind.NAME),
        ("tags.`a b`", Kind.NAME),
        ('tags."a-b"', Kind.NAME),
        ("tags.'a/b'", Kind.NAME),
        ("1AND", Kind.NAME),
        ("`name`", Kind.BACKTICKED),
        ("`a``b`", Kind.BACKTICKED),
        ("12", Kind.NUMBER),
        ("-12", Kind.NUMBER),
        ("3.0", Kind.NUMBER),
        ("3.", Kind.NUMBER),
        (".5", Kind.NUMBER),
        ("1e-1", Kind.NUMBER),
        ("'a'", Kind.STRING),
        ('"a"', Kind.STRING),
        ("''", Kind.STRING),
        ("'it''s'", Kind.STRING),
        (r"'it\'s'", Kind.STRING),
        ("'a\nb;--'", Kind.STRING),
        ("<=", Kind.OPERATOR),
        ("<>", Kind.OPERATOR),
        ("('a', (\"b\"))", Kind.LIST),
        (r"('\')', ')')", Kind.LIST),
        ("()", Kind.LIST),
        (";", Kind.SEMICOLON),
        ("-", Kind.OTHER),
        (",", Kind.OTHER),
    ],
)
def test_tokens_read_one_of_each_kind(text, kind):
    """Every kind of token is read whole."""
    assert read(text) == [(kind, text)]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("name='a'AND version_number>=3", ["name", "=", "'a'", "AND", "version_number", ">=", "3"]),
        ("tags . a", ["tags", ".", "a"]),
        ("tags.x.`y`", ["tags.x.", "`y`"]),
        (r"'a\' AND b='c'", [r"'a\' AND b='", "c", "'"]),
        ("'a' 'b'", ["'a'", "'b'"]),
        ("x'", ["x", "'"]),
        ("tags.`a", ["tags.", "`", "a"]),
        ("('a'", ["(", "'a'"]),
        ("('a')b')", ["('a')", "b", "'", ")"]),
        ("'a\\''", [r"'a\''"]),
        ("'a\\''' b'", [r"'a\''' b'"]),
        ("'a\\'''", ["'", "a", "\\", "'", "''"]),
    ],
)
def test_tokens_end_where_mlflow_ends_them(text, texts):
    """Quotes, keys and lists end where they should, and what is not closed is a lone character."""
    assert [text for _, text in read(text)] == texts


def test_tokens_give_up_on_lists_that_nest_without_end():
    """A list may nest `LIST_MAX_DEPTH` deep and no deeper."""
    deep = "(" * LIST_MAX_DEPTH + ")" * LIST_MAX_DEPTH
    assert read(deep) == [(Kind.LIST, deep)]
    assert read(f"({deep})")[0] == (Kind.OTHER, "(")


@given(st.text(alphabet="ab1 .=-'\"`\\(),;\n\u00e9", max_size=40))
@settings(max_examples=examples(300))
def test_tokens_cover_the_text(text):
    """Tokens and the space between them are the whole text, in order."""
    position = 0
    for token in tokens(text):
        assert text[position : token.position].strip() == ""
        assert text[slice(*token.span)] == token.text
        position = token.span[1]
    assert position == len(text)
