"""How names are written in keys: formats on disk, so each spelling here is pinned."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_core.key_names import DOCUMENT_NAMES, FOLDER_NAMES
from registry_core.testing import strategies

LONG = "é" * 60
DIGEST = hashlib.sha256(LONG.encode()).hexdigest()
BOTH = [DOCUMENT_NAMES, FOLDER_NAMES]


@pytest.mark.parametrize(
    ("name", "key", "folder"),
    [
        ("churn_2-x", "churn_2-x", "churn_2-x"),
        ("a b", "a%20b", "a~20b"),
        ("a.b", "a.b", "a~2Eb"),
        ("~", "%7E", "~7E"),
        ("%41", "%2541", "~2541"),
        ("é", "%C3%A9", "~C3~A9"),
        ("a.json.jso", "a%2Ejson.jso", "a~2Ejson~2Ejso"),
        (LONG, f"{'%C3%A9' * 20}~{DIGEST}", f"{'~C3~A9' * 25}~~{DIGEST[:32]}"),
        ("ab" + LONG, f"ab{'%C3%A9' * 19}%C3~{{digest}}", f"ab{'~C3~A9' * 24}~C3~~~{{digest}}"),
    ],
    ids=ascii,
)
def test_spellings_do_not_change(name, key, folder):
    digest = hashlib.sha256(name.encode()).hexdigest()
    assert DOCUMENT_NAMES.encode(name) == key.format(digest=digest)
    assert FOLDER_NAMES.encode(name) == folder.format(digest=digest[:32])


@pytest.mark.parametrize("encoding", BOTH, ids=["document", "folder"])
@given(name=strategies.names())
@example(name="\U0001f600" * 256)
def test_a_name_takes_characters_that_a_key_may_have(encoding, name):
    encoded = encoding.encode(name)
    assert encoded.isascii()
    assert len(encoded) <= encoding.longest
    assert not encoding.special.search(encoded.replace(encoding.escape, "").replace("~", ""))


@pytest.mark.parametrize("encoding", BOTH, ids=["document", "folder"])
@given(names=st.lists(strategies.names(), min_size=2, max_size=2, unique=True))
@example(names=["é" * 256, "é" * 255 + "è"])
@example(names=["%41", "A"])
@example(names=["~41", "A"])
def test_two_names_never_share_a_key(encoding, names):
    first, second = map(encoding.encode, names)
    assert first != second
