"""The journal of a key knows which operation made which revision."""

from __future__ import annotations

import pytest

from registry_core.errors import StoreUnavailableError
from registry_core.stores.s3 import record as record_module
from registry_core.stores.s3.record import NOTHING, Record, Tombstone, new_operation

GONE = Tombstone(name="m")


def written(count: int, at: list[int]) -> Record:
    record = NOTHING
    for number in range(count):
        record = record.then(f"{at[number]:011x}{number:08x}", GONE)
    return record


def now_ms() -> int:
    return int(new_operation()[:11], 16)


def test_each_write_raises_the_revision_by_one() -> None:
    """Also over a tombstone: the journal is the key's."""
    record = NOTHING.then("a" * 19, GONE).then("b" * 19, GONE)
    assert record.revision == 2
    assert record.operations == ("a" * 19, "b" * 19)


def test_an_operation_is_recognised_at_its_revision_only() -> None:
    """However many others wrote since, within what the journal keeps."""
    record = NOTHING
    mine = new_operation()
    record = record.then(mine, GONE)
    for _ in range(20):
        assert record.has(mine, revision=1)
        assert not record.has(mine, revision=record.revision + 1)
        assert not record.has(new_operation(), revision=1)
        record = record.then(new_operation(), GONE)


def test_what_lies_ahead_of_the_journal_was_not_made() -> None:
    """The key is as it was before the write."""
    assert not NOTHING.has("mine", revision=1)
    assert not NOTHING.then("a" * 19, GONE).has("mine", revision=2)


def test_what_lies_before_the_journal_is_unknown() -> None:
    """An honest error is better than a write that happens twice."""
    record = written(30, [0] * 30)
    assert len(record.operations) == record_module.JOURNAL_MIN_ENTRIES
    with pytest.raises(StoreUnavailableError, match="too many others"):
        record.has("mine", revision=5)


def test_a_quiet_key_keeps_few_operations_and_a_busy_one_its_last_minute() -> None:
    """A document must not grow because it was written often in its life."""
    old, recent = 0, now_ms()
    assert len(written(100, [old] * 100).operations) == record_module.JOURNAL_MIN_ENTRIES
    assert len(written(100, [recent] * 100).operations) == 100
    assert len(written(100, [old] * 50 + [recent] * 50).operations) == 50


def test_the_busiest_key_has_a_bound() -> None:
    """The document stays a document."""
    count = record_module.JOURNAL_MAX_ENTRIES + 50
    record = written(count, [now_ms()] * count)
    assert len(record.operations) == record_module.JOURNAL_MAX_ENTRIES
    assert record.revision == count


def test_operations_sort_by_time_and_differ() -> None:
    """A person can see from the ids when a document was written."""
    made = [new_operation() for _ in range(100)]
    assert len(set(made)) == 100
    assert [o[:11] for o in made] == sorted(o[:11] for o in made)
