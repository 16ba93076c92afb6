"""Records under keys: read coherently, committed by compare-and-swap.

Strategy of the cache: it never answers alone. A read asks the service whether the cached ETag is
still right, which is one GET, answered without a body; a listing brings the ETags of all keys at
once. So a cache can be as old as it likes, and no read is stale.

Strategy of a commit: read, apply a pure function, PUT if the ETag is still the one that was read.
The read is left out when this process knew the key a moment ago: if somebody was faster, the PUT
says so. What was computed from a cached record is believed only once a PUT has confirmed it; an
error, or the finding that there is nothing to do, is checked against a fresh read first.

Strategy of a lost reply: the key is read back, and its journal says whether the write is in it
(`Record.has`). If not, and the key is as it was, the very same bytes are sent again, since the
first copy may still arrive: whichever does, the key then holds what this operation wrote, once.
If the key has changed, no earlier copy can arrive any more, its condition being void.

A PUT that was refused by its condition is looked up in the same way, since whatever lies between
may have sent it twice. The journal can have forgotten an operation only if hundreds of others have
followed, or the clock of another machine is a minute ahead (`Record.has`). Then the answer counts:
what was refused was not made. Only of a write without an answer can nobody tell.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import attrs

from registry_core.errors import (
    ContentionError,
    RegistryError,
    StoreCorruptedError,
    StoreUnavailableError,
)
from registry_core.idempotency import KeptKey
from registry_core.models import Webhook
from registry_core.store import Clock
from registry_core.stores.s3 import codec
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import (
    ABSENT,
    Fetched,
    LostRaceError,
    MissingObjectError,
    Objects,
)
from registry_core.stores.s3.record import (
    NOTHING,
    Content,
    Model,
    Record,
    RenameIntent,
    Tombstone,
    new_operation,
)
from registry_core.stores.s3.retry import RetryBudget, TransientError

RECENT_SECONDS = 5.0
"""Seconds for which a commit trusts a cached record enough to try without reading first."""

RACE_SECONDS = 30.0
"""Seconds for which a commit that keeps losing tries again before it raises `ContentionError`."""

LOCK_STRIPES = 256
"""Locks that the writers in this process queue at, by key."""


@attrs.frozen(kw_only=True)
class Entry:
    """A record as it was found under a key; without an ETag there was no object."""

    key: str
    etag: str | None = None
    record: Record = NOTHING
    seen: float = 0.0
    """When the service last confirmed it, by the monotonic clock."""
    unfinished: bool = False
    """The record is what an arrival has turned out to be; the object itself still says arriving."""
    damage: str | None = None
    """Why the object cannot be read; then there is no record, though the key is taken."""

    @property
    def content(self) -> Content | None:
        """What the key holds, if anything."""
        return self.record.content


Change: TypeAlias = Callable[[Entry], Content | None]
"""The new content for a key, or None to leave it as it is; raises what the caller is to see."""

Keeping: TypeAlias = Callable[[Content], KeptKey | None]
"""What to keep under an idempotency key of a write, from what it has written."""

Settle: TypeAlias = Callable[[Entry], Entry]
"""See `renames.RenameResolver.settle`: all that is read passes through it first."""


class StaleEntryError(Exception):
    """The change was for one state of the key, and the key has another."""


class Journal:
    """The records of one bucket, with the ones seen so far at hand."""

    def __init__(self, objects: Objects, layout: Layout, clock: Clock) -> None:
        self._objects = objects
        self._layout = layout
        self._clock = clock
        self._cache: dict[str, Entry] = {}
        self._locks = [threading.Lock() for _ in range(LOCK_STRIPES)]

    # Reading

    def read(self, key: str) -> Entry:
        """Return what the key holds now. One GET.

        Raises:
            StoreCorruptedError: the object cannot be read.
        """
        entry = self.look(key)
        if entry.damage is not None:
            raise StoreCorruptedError(entry.damage)
        return entry

    def look(self, key: str) -> Entry:
        """As `read`, for those who go on when an object cannot be read: the entry says why."""
        cached = self._cache.get(key)
        try:
            fetched = self._objects.get(key, unless=None if cached is None else cached.etag)
        except MissingObjectError:
            self._cache.pop(key, None)
            return Entry(key=key)
        if fetched is None:
            assert cached is not None, "only a known ETag can be unchanged"
            return self.remember(attrs.evolve(cached, seen=time.monotonic()))
        return self.remember(self._decoded(key, fetched))

    def _decoded(self, key: str, fetched: Fetched) -> Entry:
        entry = Entry(key=key, etag=fetched.etag, seen=time.monotonic())
        try:
            record = codec.decode(key, fetched.body)
            self._check(key, record)
        except StoreCorruptedError as error:
            return attrs.evolve(entry, damage=str(error))
        return attrs.evolve(entry, record=record)

    def _check(self, key: str, record: Record) -> None:
        match record.content:
            case Webhook(webhook_id=webhook_id):
                right = key == self._layout.webhook(webhook_id)
            case Tombstone(name=name, model_id=model_id):
                right = key in (self._layout.model(name), self._layout.webhook(name)) or (
                    model_id is not None and self._layout.parse_deleted_events(key) == model_id
                )
            case Model(document=document) | RenameIntent(document=document):
                right = key == self._layout.model(document.name)
            case _:
                right = True
        if not right:
            raise StoreCorruptedError(f"The object '{key}' holds what belongs under another key")

    def remember(self, entry: Entry) -> Entry:
        """Return the entry, kept for the next reader."""
        self._cache[entry.key] = entry
        return entry

    def cached(self) -> dict[str, Entry]:
        """Everything at hand, by key, as of now."""
        return dict(self._cache)

    def forget(self, key: str) -> None:
        """Drop a record whose object is gone."""
        self._cache.pop(key, None)

    def recent(self, key: str) -> Entry | None:
        """Return a cached record that was right a moment ago."""
        entry = self._cache.get(key)
        if entry is None or entry.damage is not None:
            return None
        return entry if time.monotonic() - entry.seen < RECENT_SECONDS else None

    # Writing

    def new_operation(self) -> str:
        """Return an id for an operation that begins now."""
        return new_operation(self._clock)

    @contextmanager
    def queued(self, key: str) -> Iterator[None]:
        """Writers of one key in this process, one after the other instead of in a race.

        Correctness does not rest on it; waiting is bounded for that reason.
        """
        lock = self._locks[hash(key) % LOCK_STRIPES]
        held = lock.acquire(timeout=RACE_SECONDS)
        try:
            yield
        finally:
            if held:
                lock.release()

    def commit(
        self,
        key: str,
        change: Change,
        *,
        settle: Settle,
        first: Entry | None = None,
        operation: str | None = None,
        keeping: Keeping | None = None,
    ) -> Entry:
        """Return the key after the change.

        `first` is what it probably holds, to begin without a read.

        What `keeping` makes of the new content is kept under its idempotency key.

        Raises:
            ContentionError: the race was lost for `RACE_SECONDS`.
            StoreUnavailableError: the service does not answer, or did not say what happened.
        """
        operation = operation or self.new_operation()
        attempt = _Commit(self, key, change, settle, operation, keeping)
        return attempt.run(first)

    def write(self, entry: Entry, record: Record, body: bytes) -> Entry:
        """Return the key with another record, if it is still as in `entry`.

        One PUT, never repeated.
        """
        etag = self._objects.put(
            entry.key,
            body,
            condition=entry.etag or ABSENT,
            content_type=codec.CONTENT_TYPE,
        )
        return self.remember(Entry(key=entry.key, etag=etag, record=record, seen=time.monotonic()))


@attrs.define
class _Commit:
    """One operation on one key, until it is written, void or given up."""

    _records: Journal
    _key: str
    _change: Change
    _settle: Settle
    _operation: str
    _keeping: Keeping | None = None
    _budget: RetryBudget = attrs.field(factory=RetryBudget)
    _unanswered: tuple[str | None, Record, bytes] | None = None
    """The state of the key, record and bytes of a PUT that may still arrive."""

    def run(self, first: Entry | None) -> Entry:
        """See `Journal.commit`."""
        deadline = time.monotonic() + RACE_SECONDS
        known, entry = first is None, first or self._read()
        while True:
            planned = self._plan(entry, known=known)
            if planned is None:
                known, entry = True, self._read()
                continue
            if planned is _KEEP:
                return entry
            written, entry = self._send(entry, *planned)
            if written is not None:
                return written
            known = True
            if time.monotonic() > deadline:
                raise self._given_up(entry)

    def _read(self) -> Entry:
        return self._settle(self._records.read(self._key))

    def _plan(self, entry: Entry, *, known: bool) -> tuple[Record, bytes] | None:
        """What to write, `_KEEP` to write nothing, None to read first."""
        if self._unanswered is not None and self._unanswered[0] == entry.etag:
            return self._unanswered[1:]
        try:
            content = self._change(entry)
        except RegistryError:
            if known:
                raise
            return None
        if content is None:
            return _KEEP if known else None
        kept = None if self._keeping is None else self._keeping(content)
        record = entry.record.then(self._operation, content, kept)
        return record, codec.encode(record)

    def _send(self, entry: Entry, record: Record, body: bytes) -> tuple[Entry | None, Entry]:
        """What was written, or None and what the key holds instead."""
        trouble: TransientError | None = None
        try:
            written = self._records.write(entry, record, body)
        except LostRaceError:
            pass
        except TransientError as error:
            trouble = error
            if error.reached:
                self._unanswered = (entry.etag, record, body)
        else:
            return written, written
        current = self._look_back(trouble)
        if self._was_made(record, current):
            # Others may have written since: then the ETag belongs to what they wrote.
            latest = current.record.revision == record.revision
            return attrs.evolve(
                current, record=record, etag=current.etag if latest else None
            ), current
        self._wait(trouble)
        return None, current

    def _was_made(self, record: Record, current: Entry) -> bool:
        made = current.record.has(self._operation, revision=record.revision)
        if self._unanswered is None:
            return bool(made)
        if made is None:
            raise StoreUnavailableError(
                "A write was not answered, and too many others followed to tell whether it was made"
            )
        if not made and self._unanswered[0] != current.etag:
            self._unanswered = None  # it was not made, and cannot be any more
        return made

    def _wait(self, trouble: TransientError | None) -> None:
        if trouble is None:
            self._budget.recovered()
            self._budget.pause()
            return
        try:
            self._budget.after(trouble)
        except StoreUnavailableError as error:
            if self._unanswered is None:
                raise
            raise _unknown_outcome(self._key) from error

    def _look_back(self, trouble: TransientError | None) -> Entry:
        try:
            return self._read()
        except StoreUnavailableError as error:
            if trouble is None and self._unanswered is None:
                raise
            raise _unknown_outcome(self._key) from error

    def _given_up(self, entry: Entry) -> RegistryError:
        if self._unanswered is not None and self._unanswered[0] == entry.etag:
            return _unknown_outcome(self._key)
        return ContentionError(
            f"Other writers of '{self._key}' were faster for {RACE_SECONDS:.0f} seconds; "
            "nothing was written"
        )


_KEEP: tuple[Record, bytes] = (NOTHING, b"")


def _unknown_outcome(key: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"The bucket stopped answering during a write of '{key}': whether it was made is unknown"
    )
