"""The committed acceptance table says what the tests are about, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import acceptance

TABLE = Path(__file__).parents[2] / "docs" / "evidence" / "acceptance.md"
HERE = Path(__file__).parent


def covered(directory: Path) -> set[str]:
    """Every call that a test in the directory says it covers, read from the source."""
    return {
        call
        for path in directory.glob("test_*.py")
        for call in acceptance.CALLS
        if f'"{call}"' in path.read_text()
    }


def test_every_call_of_the_client_has_a_test() -> None:
    """No call of the contract's list is left out."""
    assert covered(HERE) == set(acceptance.CALLS)


def test_the_committed_table_is_up_to_date() -> None:
    """A row for each call and a column for each store, and everywhere a success."""
    table = acceptance.parse(TABLE.read_text())
    assert table.pop("call") == tuple(acceptance.STORES.values())
    assert set(table) == set(acceptance.CALLS)
    failed = {call: cells for call, cells in table.items() if set(cells) != {acceptance.PASSED}}
    assert failed == {}


def test_a_failed_test_marks_its_calls(tmp_path: Path) -> None:
    """One failure among successes is what the table shows."""
    call = acceptance.CALLS[0]
    text = acceptance.render({(call, "sqlite"): False, (call, "s3"): True})
    table = acceptance.parse(text)
    assert table[call] == (acceptance.FAILED, "-", acceptance.PASSED, "-")


def test_a_recorded_client_notes_its_calls() -> None:
    """Calls are noted by their dotted name; attributes that are no calls pass through."""
    made: set[str] = set()
    recorded = acceptance.Recorded(pytest, "pytest", made)
    with recorded.raises(ValueError):
        int("x")
    assert recorded.__name__ == "pytest"
    assert made == {"pytest.raises"}
