"""Modules and functions stay short enough to be read at a glance."""

from __future__ import annotations

import ast
import functools
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2] / "packages"

MODULE_LINES = 450
FUNCTION_LINES = 20
"""Of code: a signature and its body, without the docstring."""
FUNCTION_LINES_MOST = 40
SHORT_SHARE = 0.9
"""Of all functions, at least so many are within `FUNCTION_LINES`."""

LONG_FUNCTIONS = {
    "registry_server/artifacts/description.py:paths": "a table of routes",
    "registry_server/webhooks/operations.py:_mlflow_operations": "a table of routes",
    "registry_core/stores/sql/statements.py:_writing_versions": "a list of statements",
    "registry_core/source_resolver.py:SourceResolver.resolve": "a list of a draft's fields",
}
"""Past `FUNCTION_LINES_MOST`, for the reason given."""

SAID_ALIKE = (
    "version",
    "readme",
    "requires-python",
    "license",
    "license-files",
    "classifiers",
    "keywords",
)
"""What each package tells an index of packages as the others do."""


def modules():
    """Every module by its path; not migrations, which stay."""
    return {
        path.as_posix().partition("/src/")[2]: path
        for path in sorted(ROOT.rglob("*.py"))
        if "migrations" not in path.parts
    }


@functools.cache
def functions():
    """The lines of code of every function, by `module:Class.function`."""
    return {
        f"{name}:{qualified}": lines_of(function)
        for name, path in modules().items()
        for qualified, function in defined(ast.parse(path.read_text()), ())
    }


def defined(node, above):
    for child in ast.iter_child_nodes(node):
        inside = above
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = (*above, child.name)
            if not isinstance(child, ast.ClassDef):
                yield ".".join(inside), child
        yield from defined(child, inside)


def lines_of(function):
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def test_no_module_is_too_long():
    long = {
        name
        for name, path in modules().items()
        if len(path.read_text().splitlines()) > MODULE_LINES
    }
    assert long == set()


def test_functions_are_mostly_short():
    lines = list(functions().values())
    assert len(lines) > 1_000
    assert sum(count <= FUNCTION_LINES for count in lines) / len(lines) >= SHORT_SHARE


def test_no_function_is_too_long_without_a_reason():
    long = {name for name, count in functions().items() if count > FUNCTION_LINES_MOST}
    assert long - set(LONG_FUNCTIONS) == set()


def test_every_package_says_of_itself_what_the_others_say():
    """And comes with the license, and with its types."""
    license_ = (ROOT.parent / "LICENSE").read_bytes()
    projects = {
        path.parent: tomllib.loads(path.read_text())["project"]
        for path in sorted(ROOT.glob("*/pyproject.toml"))
    }
    said = {tuple(str(each.get(key)) for key in SAID_ALIKE) for each in projects.values()}
    assert len(said) == 1, said
    for folder in projects:
        assert (folder / "LICENSE").read_bytes() == license_, folder
        assert len([*folder.glob("src/*/py.typed")]) == 1, folder
