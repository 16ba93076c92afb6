"""Counting the elements of a JSON text without making objects of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.wire.elements import has_more_elements

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a,[{"\\\u0122\u2c5c', max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=40,
)


def elements(value):
    if isinstance(value, list):
        return len(value) + sum(map(elements, value))
    if isinstance(value, dict):
        return len(value) + sum(map(elements, value.values()))
    return 0


def brackets(value):
    """Lists and objects; an empty one counts as an element, since it begins like one that has any."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, list | dict) + sum(map(brackets, inner))


@given(VALUES, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_no_element_is_overlooked_and_no_text_is_taken_for_one(value, is_ascii, encoding):
    """Whatever the texts hold, and however the whole is encoded."""
    encoded = json.dumps(value, ensure_ascii=is_ascii).encode(encoding, "surrogatepass")
    count = elements(value)
    if count:
        assert has_more_elements(encoded, count - 1)
    assert not has_more_elements(encoded, count + brackets(value))


@pytest.mark.parametrize(
    "encoded", [b"", b'"', b'"\\', b"\\", b'{"a', b'a"b"', b"\xff\xfe,", b",,,"]
)
def test_what_is_no_json_is_no_failure(encoded):
    """The parser has the word about it."""
    assert has_more_elements(encoded, 0) in (True, False)
    assert not has_more_elements(encoded, 3)
