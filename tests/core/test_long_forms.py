"""The table of what the gate leaves to the long session."""

from __future__ import annotations

import pytest

from services import long_forms


def test_what_the_table_names_exists(request: pytest.FixtureRequest) -> None:
    """A renamed test would come back into the gate with all of its cases, a renamed case leave it."""
    # Also what is deselected now: its files are collected all the same.
    collected = request.session.stash[long_forms.COLLECTED]
    tests = [*collected]
    files = {test.partition("::")[0] for test in tests}
    named = {each for each in long_forms.IN_THE_GATE if each.partition("::")[0] in files}
    assert long_forms.unused(tests) & named == set()


def test_each_test_keeps_some_of_its_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose place in the test's order is a multiple of the number; or those that are named."""
    monkeypatch.setattr(long_forms, "IN_THE_GATE", {"a.py": 3, "a.py::test_b": ("x", "y")})
    ids = [f"a.py::test_{test}[{case}]" for case in "12345" for test in "ac"]
    few = [f"a.py::test_few[{case}]" for case in "123"]
    named = [f"a.py::test_b[{case}]" for case in ("x1", "1y", "z")]
    others = [
        "a.py::test_without_cases",
        "a.py::test_b_alone",
        *(f"b.py::test_a[{case}]" for case in "12345"),
    ]
    left_out = {f"a.py::test_{test}[{case}]" for case in "235" for test in "ac"}
    assert long_forms.left_out([*ids, *few, *named, *others]) == left_out | {"a.py::test_b[z]"}


def test_what_was_renamed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test, by its name; a case, by the text that is to be in its id."""
    table = {"a.py": 3, "a.py::test_b": ("x", "y"), "a.py::test_c": ("x", "z"), "b.py": 0}
    monkeypatch.setattr(long_forms, "IN_THE_GATE", table)
    tests = ["a.py::test_b[1x]", "a.py::test_b[y]", "a.py::test_c[x]", "a.py::test_c[1]"]
    assert long_forms.unused(tests) == {"a.py::test_c", "b.py"}
