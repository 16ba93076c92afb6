"""A copy of the packages with some lines more: what a developer would write, and what comes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

import registry_cli
import registry_core
import registry_server

TESTS = Path(__file__).parents[1]


@attrs.frozen
class Insertion:
    """Lines that are written into a file."""

    before: str
    """What they come before; the end of the file if it is empty."""
    text: str
    below: str = ""
    """Where in the file to begin to look for that."""

    def into(self, content: str) -> str:
        """The content of the file with the lines."""
        start = content.index(self.before, content.index(self.below)) if self.before else None
        head, tail = (content, "") if start is None else (content[:start], content[start:])
        return f"{head}{self.text}{tail}"


def seen_in_copy(
    root: Path, insertions: Mapping[str, Iterable[Insertion]], script: str, *arguments: str | Path
) -> Any:
    """What a script prints, as JSON, that runs with a copy of the packages in the directory `root`.

    Args:
        root: An empty directory.
        insertions: By the file, as `registry_core/models.py`.
        script: The script.
        arguments: Of the script.
    """
    for package in (registry_core, registry_server, registry_cli):
        source = Path(package.__file__ or "").parent
        shutil.copytree(source, root / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, of_file in insertions.items():
        file = root / name
        content = file.read_text()
        for each in of_file:
            content = each.into(content)
        file.write_text(content)
    (root / "show.py").write_text(script)
    done = subprocess.run(
        [sys.executable, root / "show.py", *arguments],
        env={**os.environ, "PYTHONPATH": f"{root}:{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
