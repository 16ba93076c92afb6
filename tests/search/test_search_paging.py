"""Page tokens from clients: whole, damaged and forged."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.models import RegisteredModel
from registry_core.search import Entity, Query, parse_order_by
from registry_core.search.paging import page, position
from services.examples import examples

ROWS = [
    RegisteredModel(name=f"m{number}é", creation_timestamp=1, last_updated_timestamp=number)
    for number in range(3)
]


def a_query(token=None, size=2):
    return Query(
        entity=Entity.REGISTERED_MODEL,
        order_by=parse_order_by(["timestamp"], Entity.REGISTERED_MODEL),
        max_results=size,
        page_token=token,
    )


TOKEN = page(a_query(), ROWS).next_page_token
DIGEST = a_query().digest


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_token_carries_the_sort_key_of_the_last_row():
    """The next page starts after the last row of this one."""
    assert position(a_query(TOKEN)) == (1, "m1é")


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_the_first_page(token):
    """An empty token means none (contract 2.6)."""
    assert position(a_query(token)) is None


def test_token_is_given_only_if_a_further_row_exists():
    """Exactly full pages at the end carry none."""
    assert page(a_query(), ROWS[:2]).next_page_token is None
    assert page(a_query(), ROWS[:1]).next_page_token is None


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("a", "Invalid page token, could not base64-decode"),
        ("AAAA" * 2_049, "Invalid page token, it is too long"),
        ("!!!!", "Invalid page token, could not base64-decode"),
        ("évén", "Invalid page token, could not base64-decode"),
        ("AAAA", r"Invalid page token, decoded value=b'\x00\x00\x00'"),
        ("/////w==", r"Invalid page token, decoded value=b'\xff\xff\xff\xff'"),
        (encoded({"offset": 2}), "Invalid page token, parsed value={'offset': 2}"),
        (encoded(3), "Invalid page token, parsed value=3"),
        (encoded([1, DIGEST]), f"Invalid page token, parsed value=[1, '{DIGEST}']"),
        (
            encoded([2, DIGEST, [1, "m"]]),
            f"Invalid page token, parsed value=[2, '{DIGEST}', [1, 'm']]",
        ),
        (
            encoded([1, DIGEST, ["1", "m"]]),
            f"Invalid page token, parsed value=[1, '{DIGEST}', ['1', 'm']]",
        ),
        (encoded([1, DIGEST, [1, 2]]), f"Invalid page token, parsed value=[1, '{DIGEST}', [1, 2]]"),
        (
            encoded([1, DIGEST, [2**63, "m"]]),
            f"Invalid page token, parsed value=[1, '{DIGEST}', [{2**63}, 'm']]",
        ),
        (
            encoded([1, DIGEST, [1.5, "m"]]),
            f"Invalid page token, parsed value=[1, '{DIGEST}', [1.5, 'm']]",
        ),
        (
            encoded([1, DIGEST, [True, "m"]]),
            f"Invalid page token, parsed value=[1, '{DIGEST}', [True, 'm']]",
        ),
        (
            encoded([1, "other", [1, "m"]]),
            "Invalid page token, it was issued for another filter or order_by",
        ),
    ],
)
def test_malformed_tokens_are_refused_with_mlflows_words(token, message):
    """Each way to be wrong is an invalid argument (contract 4.7)."""
    with pytest.raises(InvalidArgumentError) as caught:
        position(a_query(token))
    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["m\x00", "\ud800", "m" * 257])
def test_tokens_cannot_carry_what_no_store_holds(value):
    """A forged key is held against the rules for names."""
    with pytest.raises(InvalidArgumentError):
        position(a_query(encoded([1, DIGEST, [1, value]])))


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode()))
@settings(max_examples=examples(300))
def test_any_token_is_a_position_or_an_invalid_argument(token):
    """No text gets any other answer."""
    try:
        found = position(a_query(token))
    except InvalidArgumentError:
        return
    assert found is None


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=0x7F))
@settings(max_examples=examples(300))
def test_tampered_tokens_are_refused_or_mean_a_legal_key(index, character):
    """One changed character never gets past the checks as something illegal."""
    tampered = TOKEN[:index] + character + TOKEN[index + 1 :]
    try:
        found = position(a_query(tampered))
    except InvalidArgumentError:
        return
    updated, name = found
    assert isinstance(updated, int)
    assert isinstance(name, str)


def test_deeply_nested_tokens_are_refused():
    """A token cannot exhaust the stack."""
    token = base64.b64encode(b"[" * 6_000).decode()
    with pytest.raises(InvalidArgumentError, match="Invalid page token, decoded value="):
        position(a_query(token))
