"""`SECURITY.md` says what is so, and nothing here runs code that is data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text()
SOURCES = sorted((ROOT / "packages").glob("*/src/**/*.py"))

UNPACKING = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
    *("tarfile", "zipfile", "torch", "numpy"),
}
"""Modules whose reading runs what is read, or writes where that says."""

RUNNING = {"eval", "exec", "compile", "system", "popen", "unpack_archive", "extractall"}
"""Functions that do."""


WRITES_ITS_OWN = "packages/registry-core/src/registry_core/fields.py"
"""Runs functions that are written out from the table of fields, which is part of the program."""


def named_tests():
    return re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", SECURITY)


@pytest.mark.parametrize(("path", "name"), named_tests())
def test_every_test_that_security_names_is_there(path, name):
    """One that was renamed or removed leaves a promise without its proof."""
    text = (ROOT / path).read_text()
    tests = set(re.findall(r"^ *def (test_\w+)", text, re.MULTILINE))
    assert tests
    assert not name or name in tests


def test_every_kind_has_a_test():
    """A row of the table without one would be a wish."""
    table = SECURITY.partition("## Known kinds")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row] == []


def test_nothing_runs_code_that_is_data():
    """Nor unpacks archives, starts a shell, or reads YAML that makes objects."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {what}"
        for path in SOURCES
        if path != ROOT / WRITES_ITS_OWN
        for node in ast.walk(ast.parse(path.read_text()))
        for what in dangers(node)
    ]
    assert found == []
    own = ast.walk(ast.parse((ROOT / WRITES_ITS_OWN).read_text()))
    assert [what for node in own for what in dangers(node)] == ["exec", "compile"]


def dangers(node):
    """What is dangerous in one piece of a program."""
    match node:
        case ast.Import():
            yield from {each.name.partition(".")[0] for each in node.names} & UNPACKING
        case ast.ImportFrom():
            yield from {str(node.module).partition(".")[0]} & UNPACKING
        case ast.Call(func=ast.Name(id=name)) if name in RUNNING:
            yield name
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            is_regex = isinstance(value, ast.Name) and value.id in ("re", "expression")
            if name in RUNNING and not is_regex:
                yield name
            if name in ("load", "load_all", "unsafe_load") and getattr(value, "id", "") == "yaml":
                yield f"yaml.{name}"
            if any(
                word.arg == "shell" and getattr(word.value, "value", True) for word in node.keywords
            ):
                yield "shell"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "os.system('x')",
        "yaml.load(x)",
        "subprocess.run('x', shell=True)",
        "shutil.unpack_archive(x)",
    ],
)
def test_the_search_for_dangers_finds_them(code):
    """Else it would find none anywhere."""
    assert [what for node in ast.walk(ast.parse(code)) for what in dangers(node)]
