"""Checks the English of pages, messages and docstrings: `python -m prose [FILE ...]`.

proselint reads the text; the rules are those of `prose.rules`, and a few of its own. Of a page, what
stands in code blocks and code spans is left out. Of a module, docstrings, comments and the texts of
more than two words that the program shows are read.
"""

import ast
import re
import subprocess
import sys
import tokenize
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
    config = {**DEFAULT, "checks": enabled}
    findings = list(_lint(arguments or _tracked(), config))
    print("\n".join(findings))
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def _lint(paths, config):
    """Lints all texts as one, a blank line between them, which takes less than each by itself."""
    places, lines = [], []
    for path in paths:
        for begin, text in texts(ROOT / path):
            found = [*text.splitlines(), ""]
            places += [(path, line) for line in range(begin, begin + len(found))]
            lines += found
    whole = LintFile("all", "\n".join(lines))
    whole.quote_bounds = ()  # an apostrophe begins no quotation here
    for found in whole.lint({**config, "max_errors": len(whole.content)}):
        message = found.check_result.message
        are_words = all(_is_bound(whole.content, at) for at in found.check_result.span)
        if are_words and not _BETWEEN_PARAGRAPHS.search(message):
            path, line = places[found.pos[0] - 1]  # proselint puts an empty line before the text
            yield f"{path}:{line}: {' '.join(message.split())}"


def _is_bound(text, at):
    """Whether a word begins or ends here: proselint finds "for ever" in "for everybody", too."""
    return not text[at - 1 : at + 1].isalnum()


def texts(path):
    """What people read of a file, each with the line it begins at."""
    if path.suffix == ".md":
        return [(1, _CODE.sub(_blank, path.read_text()))]
    if path.suffix == ".html":
        return [
            (1, re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", _blank, path.read_text(), flags=re.DOTALL))
        ]
    return [*_of_module(ast.parse(path.read_text())), *_comments(path)]


def _of_module(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = _CODE.sub(_blank, node.value)
            if text.count(" ") > 1:
                yield node.lineno, text


def _comments(path):
    """The comments of a module; lines that follow one another are one text."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    begin, lines = 0, []
    for token in (*(each for each in tokens if each.type == tokenize.COMMENT), None):
        if token is not None and token.start[0] == begin + len(lines):
            lines.append(token.string.lstrip("# "))
            continue
        if lines:
            yield begin, _CODE.sub(_blank, "\n".join(lines))
        if token is not None:
            begin, lines = token.start[0], [token.string.lstrip("# ")]


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
