"""The table of what the gate leaves to the long session."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import long_forms

TESTS = Path(__file__).parents[1]


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


def test_the_long_session_runs_what_a_test_shortens() -> None:
    """It selects by marks, and Hypothesis marks only what is decorated with `given`."""
    found = [
        f"{path.relative_to(TESTS)}::{test.name}"
        for path in TESTS.glob("*/test_*.py")
        for test in shortened(ast.parse(path.read_text()))
    ]
    assert found == []


def shortened(module: ast.Module) -> Iterator[ast.FunctionDef]:
    """The tests of a module that say how much they try now, and have no mark of it."""
    marks = ("hypothesis", "scaled", "long")
    ours = [ast.unparse(each) for each in module.body if isinstance(each, ast.ImportFrom)]
    if not any(each.startswith("from services.examples") for each in ours):
        return
    of_all = [ast.unparse(each) for each in module.body if isinstance(each, ast.Assign)]
    if any(f"pytestmark = pytest.mark.{mark}" in of_all for mark in marks):
        return
    for test in module.body:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            body = "\n".join(ast.unparse(each) for each in test.body)
            said = [ast.unparse(each) for each in test.decorator_list]
            is_short = "examples(" in body or "one_of(" in body
            if is_short and not any(f"pytest.mark.{mark}" in said for mark in marks):
                yield test


def test_the_search_for_what_is_shortened_finds_it() -> None:
    """Else it would find nothing anywhere."""
    code = "from services.examples import one_of\n{}def test_a():\n    one_of(3)\n"
    assert [test.name for test in shortened(ast.parse(code.format("")))] == ["test_a"]
    assert [*shortened(ast.parse(code.format("@pytest.mark.scaled\n")))] == []


HEAVY = {"mlflow", "numpy", "pandas", "registry_mlflow", "schemathesis", "sklearn"}
"""What takes seconds to import, or imports MLflow."""


def test_no_file_of_tests_imports_what_takes_long_when_it_is_read() -> None:
    """Every process of the tests reads all files: those that need MLflow import it in a test."""
    found = {
        f"{path.relative_to(TESTS)}: {ast.unparse(each)}"
        for path in [*TESTS.glob("**/test_*.py"), *TESTS.glob("**/conftest.py")]
        for each in ast.parse(path.read_text()).body
        for name in imported(each)
        if name.partition(".")[0] in HEAVY
    }
    assert found == set()


def imported(statement: ast.stmt) -> list[str]:
    """The modules that a statement imports."""
    if isinstance(statement, ast.Import):
        return [each.name for each in statement.names]
    return [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
