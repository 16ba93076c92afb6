"""Names become keys that differ, stay short, and can be read."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.key_names import DOCUMENT_NAMES
from registry_core.stores.s3.layout import KEY_MAX_BYTES, PREFIX_MAX_BYTES, Layout
from registry_core.testing import strategies

NAMES = strategies.names()
LONGEST = Layout.under("p" * PREFIX_MAX_BYTES)


@given(NAMES)
@example("é" * 256)
@example("\U0001f600" * 256)
@example("a" * 256)
@example("%" * 256)
def test_a_key_is_printable_and_short_under_any_prefix(name: str) -> None:
    """Whatever the name, the key of the longest prefix stays within S3's limit."""
    key = LONGEST.model(name)
    assert key.isascii()
    assert key.isprintable()
    assert "/" not in key.removeprefix(LONGEST.models)
    assert len(key) < KEY_MAX_BYTES


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
@example(["a", "a.json"])
@example(["a.json", "a.json.json"])
@example(["a.jso", "a.json"])
@example(["a~", "a"])
@example(["a" * 201, "a" * 120])
@example(["a" * 201, "a" * 202])
@example(["A", "a"])
@example(["%41", "A"])
def test_no_key_is_another_or_the_beginning_of_another(names: list[str]) -> None:
    """Some servers cannot hold a key that is also the beginning of a longer one."""
    first, second = (LONGEST.model(name) for name in names)
    assert not first.startswith(second)
    assert not second.startswith(first)


@given(NAMES.filter(lambda name: len(DOCUMENT_NAMES.encode(name)) <= DOCUMENT_NAMES.longest))
def test_a_name_can_be_read_from_a_short_key(name: str) -> None:
    """Percent-decoding gives the name, unless it had to be cut."""
    if "~" not in DOCUMENT_NAMES.encode(name):
        assert unquote(DOCUMENT_NAMES.encode(name)) == name


def test_ordinary_names_are_kept() -> None:
    """What people call their models needs no decoding."""
    assert Layout.under("team/ml").model("churn-model_v1.2") == (
        "team/ml/models/churn-model_v1.2.json"
    )
    assert Layout.under("").model("Größe 1") == "models/Gr%C3%B6%C3%9Fe%201.json"


def test_a_long_name_keeps_its_head() -> None:
    """A person can still tell which model it is; the digest tells it from its neighbours."""
    key = Layout.under("").model("churn " * 40)
    assert key.startswith("models/churn%20churn%20")
    head, digest = key.removesuffix(".json").split("~")
    assert len(head.removeprefix("models/")) <= DOCUMENT_NAMES.head
    assert len(digest) == 64


def test_a_long_name_is_not_cut_inside_an_escape() -> None:
    """So that the head can be decoded."""
    for length in range(80, 90):
        head = DOCUMENT_NAMES.encode("a" * length + "é" * 100).partition("~")[0]
        assert set(unquote(head, errors="replace")) <= {"a", "é", "\ufffd"}
        assert not head.endswith("%")


def test_the_kinds_of_objects_do_not_meet() -> None:
    """A model may be called anything without touching a webhook, a text or the marker."""
    keys = Layout.under("p")
    kinds = [keys.models, keys.values, keys.webhooks, keys.probes, keys.marker]
    assert all(not a.startswith(b) for a in kinds for b in kinds if a is not b)


def test_a_text_is_found_from_its_key() -> None:
    """`fsck` tells from a key what it is the text of."""
    keys = Layout.under("p")
    assert keys.parse_value(keys.value("model", "digest-operation")) == (
        "model",
        "digest-operation",
    )
    for other in ("p/values/a", "p/values/a/b", "p/values/a/b/c.txt"):
        assert keys.parse_value(other) is None


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", ".", "a/.", "p" * (PREFIX_MAX_BYTES + 1)])
def test_a_prefix_that_keys_cannot_have_is_refused(prefix: str) -> None:
    """Some clients would normalise it, so that two tools would see two places."""
    with pytest.raises(InvalidArgumentError, match="prefix"):
        Layout.under(prefix)


def test_slashes_around_a_prefix_do_not_matter() -> None:
    """`s3://bucket/a/` is `s3://bucket/a`."""
    assert Layout.under("/a/b/") == Layout.under("a/b")
    assert Layout.under("/") == Layout.under("")
