"""The committed table of releases says that every call works, of every release that was run."""

from __future__ import annotations

import re
from pathlib import Path

from releases import table

ROOT = Path(__file__).parents[2]


def rows():
    """The cells of the table, by what stands first."""
    text = (ROOT / "docs" / "evidence" / "releases.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip("`"): cells[1:] for cells in lines if cells[0] != "---"}


def test_every_call_of_every_release_works():
    """A cell is a success on all stores, or no call of that release; each release was run."""
    found = rows()
    releases, counts = found.pop("call"), found.pop("calls")
    tried = re.findall(r'"(\d+\.\d+\.\d+)"', releases_of_the_session())
    assert releases == tried
    for call, cells in found.items():
        assert set(cells) <= {table.WORKS, table.ABSENT}, call
    works = [sum(cells[n] == table.WORKS for cells in found.values()) for n in range(len(releases))]
    assert list(map(int, counts)) == works


def releases_of_the_session():
    """The list in the nox session."""
    text = (ROOT / "noxfile.py").read_text()
    return text.partition("\nRELEASES = [")[2].partition("]\n")[0]


def test_a_failure_shows_where():
    """One store of three is named."""
    outcomes = [{"a.b": None}, {"a.b": "ValueError: x"}, {"a.b": None}]
    assert "| `a.b` | ✗ PostgreSQL |" in table.render({"1.0.0": outcomes})
