"""Checks the English of pages, messages and docstrings: `python -m prose [FILE ...]`.

proselint reads the text; the rules are those of `prose.rules`, and a few of its own. Of a page, what
stands in code blocks and code spans is left out. Of a module, docstrings and the texts of more than
two words that the program shows are read.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

from proselint.checks import __register__ as builtin
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

from prose.rules import RULES, THEIRS

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`|\]\([^)\s]*\)", re.MULTILINE | re.DOTALL)
_BETWEEN_PARAGRAPHS = re.compile(r"\n\s*\n")
"""A heading whose word begins the paragraph below it repeats nothing."""
_GENERATED = ("docs/evidence/", "docs/reference/wire-contract.md", "CHANGELOG.md")
"""Evidence is figures and names; the contract quotes another program; old entries stay as they were."""


def main(arguments):
    """Exits with 1 if a rule finds something."""
    registry = CheckRegistry()
    registry.register_many((*builtin, *RULES))
    enabled = {**dict.fromkeys(THEIRS, True), "registry": True}
    config = {**DEFAULT, "checks": enabled, "max_errors": 0}
    findings = [
        f"{path}:{line + at[0] - 1}: {' '.join(found.message.split())}"
        for path in arguments or _tracked()
        for line, text in texts(ROOT / path)
        for found, at in _lint(path, text, config)
    ]
    print("\n".join(findings))
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def _lint(path, text, config):
    config = {**config, "max_errors": len(text) + 1}
    found = ((each.check_result, each.pos) for each in LintFile(str(path), text).lint(config))
    return [(result, at) for result, at in found if not _BETWEEN_PARAGRAPHS.search(result.message)]


def texts(path):
    """What people read of a file, each with the line it begins at."""
    if path.suffix == ".md":
        return [(1, _CODE.sub(_blank, path.read_text()))]
    if path.suffix == ".html":
        return [
            (1, re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", _blank, path.read_text(), flags=re.DOTALL))
        ]
    return list(_of_module(ast.parse(path.read_text())))


def _of_module(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = _CODE.sub(_blank, node.value)
            if text.count(" ") > 1:
                yield node.lineno, text


def _blank(match):
    """Keeps the lines, so that a finding names the right one; no word takes the place of code."""
    return re.sub(r"[^\n]", "~", match.group())


def _tracked():
    patterns = ["*.md", "packages/*.py", "packages/*.html", "examples/*.py"]
    done = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for path in done.stdout.splitlines() if not path.startswith(_GENERATED)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
