"""The lists of IN and NOT IN, which are Python literals."""

from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.search.literals import LIST_MAX_VALUES, text_list
from registry_core.search.tokens import Kind, tokens
from services.examples import examples

EMPTY = "expected a non-empty list of string values, but got empty list"
ILL_FORMED = "expected a non-empty list of string values, but got ill-formed list."
OTHER_TYPE = "expected string value, punctuation, or whitespace, but got different type in list: "


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("('a')", ("a",)),
        ("('a','b')", ("a", "b")),
        ("( 'a' ,\n\"b\" , )", ("a", "b")),
        ("('a' \"b\" 'c')", ("abc",)),
        ("('a''b')", ("ab",)),
        ("('')", ("",)),
        ("((('a', 'b')))", ("a", "b")),
        ("(('a'), 'b')", ("a", "b")),
        ("(('a',))", ("a",)),
        (r"""('it\'s', '"', "\"")""", ("it's", '"', '"')),
        (r"('k\x77\u00e9\U0001f600\N{BULLET}\101\7\n\t\\')", ("kwé😀•A\a\n\t\\",)),
        ("('''it's\na''')", ("it's\na",)),
        ('(""""a""")', ('"a',)),
        (r"('\d\%')", (r"\d\%",)),
        (r"(r'\n', R'\'', u'\x41')", (r"\n", r"\'", "A")),
        ("('a\\\nb' \\\n 'c')", ("abc",)),
        ("('a)b', '(')", ("a)b", "(")),
    ],
)
def test_text_list_follows_python(source, texts):
    """Escapes, prefixes, strings side by side, nesting and a trailing comma mean what they do."""
    assert text_list(source) == texts


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("()", EMPTY),
        ("(())", EMPTY),
        ("(1)", OTHER_TYPE),
        ("('a', 1.5)", OTHER_TYPE),
        ("(-1, 'a')", OTHER_TYPE),
        ("(None,)", OTHER_TYPE),
        ("(run1)", OTHER_TYPE),
        ("(b'a')", OTHER_TYPE),
        ("(f'a')", OTHER_TYPE),
        ("(('a', 'b'), 'c')", OTHER_TYPE),
        ("(('a',),)", OTHER_TYPE),
        ("((), 'a')", OTHER_TYPE),
        ("(,)", ILL_FORMED),
        ("('a',,'b')", ILL_FORMED),
        ("('a' 1)", ILL_FORMED),
        ("('a' + 'b')", ILL_FORMED),
        ("('a' -- c\n)", ILL_FORMED),
        ("(['a'])", ILL_FORMED),
        (r"('\x4')", ILL_FORMED),
        (r"('\u12')", ILL_FORMED),
        (r"('\U00110000')", ILL_FORMED),
        (r"('\N{no such character}')", ILL_FORMED),
        (r"('\N')", ILL_FORMED),
    ],
)
def test_text_list_refuses_what_is_no_list_of_texts(source, message):
    """Each kind of fault has MLflow's sentence (contract 4.8)."""
    with pytest.raises(InvalidArgumentError) as caught:
        text_list(source)
    assert str(caught.value).startswith(f"While parsing a list in the query, {message}")


def test_text_list_bounds_the_number_of_values():
    """A list holds as many values as every store can bind, and not one more."""
    values = ",".join(["'a'"] * LIST_MAX_VALUES)
    assert len(text_list(f"({values})")) == LIST_MAX_VALUES
    with pytest.raises(InvalidArgumentError, match=f"may hold {LIST_MAX_VALUES} values"):
        text_list(f"({values},'b')")


LISTS = st.text(alphabet="aNrbxu01{}'\"\\,() \n", max_size=12).map(lambda body: f"({body})")


def python_value(source):
    """What Python makes of a list of texts; None if it refuses or it is something else."""
    try:
        with warnings.catch_warnings(action="ignore"):
            value = ast.literal_eval(source)
    except (SyntaxError, ValueError):
        return None
    value = value if isinstance(value, tuple) else (value,)
    return value if value and all(isinstance(item, str) for item in value) else None


@given(LISTS)
@settings(max_examples=examples(1000))
def test_text_list_agrees_with_python(source):
    """Any list that is one token means what Python says, or is refused where Python refuses."""
    if [token.kind for token in tokens(source)] != [Kind.LIST, Kind.END]:
        return
    try:
        ours = text_list(source)
    except InvalidArgumentError:
        ours = None
    assert ours == python_value(source)
