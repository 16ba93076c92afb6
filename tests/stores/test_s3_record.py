"""The journal of a key knows which operation made which revision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.store import system_clock
from registry_core.stores.s3 import record as record_module
from registry_core.stores.s3.record import NOTHING, Record, Tombstone, began, new_operation

GONE = Tombstone(name="m")

NOW = 1_795_416_156_578

DAY = 86_400_000

KEPT = record_module.JOURNAL_MIN_ENTRIES

PUSHED_OUT = record_module.JOURNAL_MILLISECONDS
"""How much later an operation must begin to push another one out."""


def operation(at: int, number: int = 0) -> str:
    """The id of an operation that began at a moment."""
    return f"{at:011x}{number:08x}"


def written(at: list[int], record: Record = NOTHING) -> Record:
    """A record after a write by an operation that began at each of these moments."""
    for number, moment in enumerate(at):
        record = record.then(operation(moment, number), GONE)
    return record


def test_each_write_raises_the_revision_by_one() -> None:
    """Also over a tombstone: the journal is the key's."""
    record = NOTHING.then("a" * 19, GONE).then("b" * 19, GONE)
    assert record.revision == 2
    assert record.operations == ("a" * 19, "b" * 19)


def test_an_operation_is_recognised_at_its_revision_only() -> None:
    """However many others wrote since, within what the journal keeps."""
    record = NOTHING
    mine = new_operation(system_clock)
    record = record.then(mine, GONE)
    for _ in range(20):
        assert record.has(mine, revision=1)
        assert not record.has(mine, revision=record.revision + 1)
        assert not record.has(new_operation(system_clock), revision=1)
        record = record.then(new_operation(system_clock), GONE)


def test_what_lies_ahead_of_the_journal_was_not_made() -> None:
    """The key is as it was before the write."""
    assert NOTHING.has("a" * 19, revision=1) is False
    assert NOTHING.then("a" * 19, GONE).has("b" * 19, revision=2) is False


@pytest.mark.parametrize("later", [0, PUSHED_OUT, DAY, 40 * DAY])
def test_what_began_after_the_journal_was_not_forgotten(later: int) -> None:
    """Nothing in it could have pushed it out: so it was never there, whatever its revision."""
    record = written([NOW] * KEPT, written([NOW - DAY] * 30))
    assert len(record.operations) == KEPT
    assert record.has(operation(NOW + later, 9_999), revision=1) is False


def test_what_may_have_been_pushed_out_is_unknown() -> None:
    """By one that began a minute later, also if that is all that is left of it."""
    record = written([NOW, *[NOW + PUSHED_OUT + 1] * KEPT])
    assert len(record.operations) == KEPT
    assert record.has(operation(NOW), revision=1) is None
    assert record.has(operation(NOW + 1), revision=1) is False
    much_later = written([NOW + 3 * DAY] * KEPT, record)
    assert much_later.has(operation(NOW), revision=1) is None
    back = written([NOW] * (KEPT - 1), much_later)
    assert back.has(operation(NOW), revision=1) is None


def test_what_hundreds_have_followed_is_unknown() -> None:
    """They have pushed it out, whenever they began."""
    record = written([NOW] * record_module.JOURNAL_MAX_ENTRIES)
    assert record.has(operation(NOW), revision=1) is True
    assert record.then(operation(NOW, 9_999), GONE).has(operation(NOW), revision=1) is None


@given(
    st.lists(st.sampled_from([0, 1, 40_000, PUSHED_OUT, PUSHED_OUT + 1, DAY]), max_size=40),
    st.integers(0, 40),
    st.sampled_from([0, 1, PUSHED_OUT, DAY, 3 * DAY]),
)
def test_the_journal_is_never_wrong(offsets: list[int], place: int, mine_at: int) -> None:
    """Whatever the clocks of the writers say, in any order: it is right, or does not know."""
    mine = operation(NOW + mine_at, 9_999)
    before, after = offsets[:place], offsets[place:]
    without = written([NOW + offset for offset in offsets])
    record = written([NOW + offset for offset in before]).then(mine, GONE)
    record = written([NOW + offset for offset in after], record)
    assert record.has(mine, revision=len(before) + 1) in (True, None)
    for revision in range(1, len(offsets) + 2):
        assert without.has(mine, revision=revision) in (False, None)
    if all(offset <= mine_at + PUSHED_OUT for offset in offsets):
        assert record.has(mine, revision=len(before) + 1) is True
        assert without.has(mine, revision=1) is False


def test_a_quiet_key_keeps_few_operations_and_a_busy_one_its_last_minute() -> None:
    """A document must not grow because it was written often in its life."""
    old = [NOW + number * DAY for number in range(100)]
    recent = [old[-1] + DAY] * 50
    assert len(written(old).operations) == KEPT
    assert len(written([NOW] * 100).operations) == 100
    assert len(written([*old, *recent]).operations) == 50


def test_the_busiest_key_has_a_bound() -> None:
    """The document stays a document."""
    count = record_module.JOURNAL_MAX_ENTRIES + 50
    record = written([NOW] * count)
    assert len(record.operations) == record_module.JOURNAL_MAX_ENTRIES
    assert record.revision == count


def test_operations_differ_and_begin_with_their_time() -> None:
    """A person can see from the ids when a document was written."""
    made = [new_operation(lambda: NOW) for _ in range(100)]
    assert len(set(made)) == 100
    assert {began(each) for each in made} == {NOW}
