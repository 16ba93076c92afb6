"""All registered models at once: the bucket listing as the index.

Strategy. A listing names every key with its ETag, and is strongly consistent; documents whose ETag
has not changed are at hand, the others are read, side by side. Nothing else has to be kept in step
with the documents, and nothing can be out of step with them.

Long listings are read in ranges at the same time. The keys of the listing before say where every
thousandth key was; if little has changed, each range is one request, and there are as many as one
after the other would take.

A listing is not a snapshot: a model that is renamed while pages are read may be on none of them or
on two. A departure that was not there before the listing began says that a model left just now: its
new key is looked at. If a model was found twice, or two under one name, the listing begins anew.

What cannot be read is left out, and named. Nothing is known of it but its key, so a search for just
that model is a matter for the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, pairwise

import attrs

from registry_core.errors import ContentionError, StoreCorruptedError
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.objects import Listed, Objects
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Deleted, Model, Moved, Record, RenameIntent, Tombstone
from registry_core.thread_pool import ThreadPool

TORN_ATTEMPTS = 5
"""Listings that are begun anew because a model's trail through several renames was lost."""


@attrs.frozen
class Listing:
    """What was found."""

    models: tuple[Model, ...]
    deleted: tuple[Deleted, ...] = ()
    """Models that were deleted, and whose name nobody has used since."""
    damaged: tuple[Entry, ...] = ()
    """What cannot be read, as `Entry.damage` says."""


class Lister:
    """The registered models of one registry, all together."""

    def __init__(self, prefix: Prefix) -> None:
        self._objects = prefix.objects
        self._records = prefix.journal
        self._renames = prefix.renames
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._lock = threading.Lock()
        self._boundaries: tuple[str, ...] = ()

    def all(self) -> Listing:
        """Return every registered model.

        One LIST per thousand keys, and one GET per changed key.
        """
        return self._consistent(self._list)

    def some(self, names: Iterable[str]) -> Listing:
        """Return those of the models that exist. One GET each."""
        requested = frozenset(names)
        keys = [self._layout.model(name) for name in sorted(requested)]
        listing = self._consistent(lambda _: self._pool.map(self._read, keys))
        models = (model for model in listing.models if model.document.name in requested)
        damaged = (entry for entry in listing.damaged if entry.key in keys)
        return Listing(tuple(models), damaged=tuple(damaged))

    def _consistent(self, read: Callable[[Mapping[str, Entry]], list[Entry]]) -> Listing:
        twice: frozenset[tuple[str, str | None]] = frozenset()
        for _ in range(TORN_ATTEMPTS):
            known = self._records.cached()
            with suppress(_TornError):
                entries = self._followed(read(known), known)
                before, twice = twice, _found_twice(entries)
                if twice <= before:
                    return _listing(entries)
        raise ContentionError("Models are renamed faster than they can be listed")

    def _list(self, known: Mapping[str, Entry]) -> list[Entry]:
        listed = list_keys(self._objects, self._layout.models, self._boundaries, self._pool)
        self._note(listed)
        return self._entries(listed, known)

    def _note(self, listed: list[Listed]) -> None:
        # The last key of every full page but the last; the cache keeps what the bucket has.
        keys = [each.key for each in listed]
        present = set(keys)
        with self._lock:
            size = self._objects.page_keys
            self._boundaries = tuple(keys[size - 1 : len(keys) - 1 : size])
        for key in self._records.cached():
            if key.startswith(self._layout.models) and key not in present:
                self._records.forget(key)

    def _entries(self, listed: list[Listed], known: Mapping[str, Entry]) -> list[Entry]:
        def current(each: Listed) -> bool:
            entry = known.get(each.key)
            if entry is None or entry.etag != each.etag:
                return False
            return not isinstance(entry.content, RenameIntent) and not entry.unfinished

        changed = [each.key for each in listed if not current(each)]
        read = {entry.key: entry for entry in self._pool.map(self._read, changed)}
        return [read.get(each.key) or known[each.key] for each in listed]

    def _read(self, key: str) -> Entry:
        entry = self._records.look(key)
        try:
            return self._renames.finish(self._renames.settle(entry))
        except StoreCorruptedError as error:
            why = f"The object '{key}' is the target of a rename, and cannot be judged: {error}"
            return Entry(key=key, etag=entry.etag, damage=why)

    def _followed(self, entries: list[Entry], known: Mapping[str, Entry]) -> list[Entry]:
        """The entries, and those of models that left a key while the listing was read."""
        here = {entry.content.model_id for entry in entries if isinstance(entry.content, Model)}
        followed = list(entries)
        for entry in entries:
            before = known.get(entry.key)
            if before is not None and before.etag == entry.etag:
                continue
            seen = () if before is None else before.record.operations
            for moved in entry.record.departures:
                if moved.operation not in seen and moved.model_id not in here:
                    followed.extend(self._follow(moved))
                    here.add(moved.model_id)
        return followed

    def _follow(self, moved: Moved) -> list[Entry]:
        """Where the model is that has departed, if it is anywhere."""
        while moved.renamed_to is not None:
            entry = self._read(self._layout.model(moved.renamed_to))
            match entry.content:
                case Model(model_id=moved.model_id):
                    return [entry]
            if entry.damage is not None:
                return [entry]
            moved = _next_move(entry.record, moved)
        return []


class _TornError(Exception):
    """Models were renamed while the keys were listed, and what was found does not fit together."""


def _next_move(record: Record, moved: Moved) -> Moved:
    """How the model left the key that `departure` took it to, by the order of the key's journal.

    Ids are not in order: each begins with the time of another machine.
    """
    positions = {operation: position for position, operation in enumerate(record.operations)}
    # A rename is in both journals under one id. One that was forgotten was before all others.
    arrival = positions.get(moved.operation, -1)
    for each in record.departures:
        if each.model_id == moved.model_id and positions.get(each.operation, -1) > arrival:
            return each
    raise _TornError


def list_keys(
    objects: Objects, prefix: str, boundaries: tuple[str, ...], pool: ThreadPool
) -> list[Listed]:
    """Return the objects under a prefix by key, read in ranges that end at these keys."""

    def ranged(bounds: tuple[str | None, str | None]) -> list[Listed]:
        return _list_range(objects, prefix, *bounds)

    ranges = pairwise((None, *boundaries, None))
    # Not every service lists in the order of the keys.
    return sorted(chain.from_iterable(pool.map(ranged, ranges)), key=lambda each: each.key)


def _list_range(
    objects: Objects, prefix: str, after: str | None, until: str | None
) -> list[Listed]:
    listed: list[Listed] = []
    for page in objects.pages(prefix, start_after=after):
        listed.extend(page.objects)
        if until is not None and listed and listed[-1].key >= until:
            break
    return [each for each in listed if until is None or each.key <= until]


def deleted_at(entry: Entry) -> Deleted | None:
    """Return the model that was deleted at a key, if nothing has come there since."""
    match entry.content:
        case Tombstone(model_id=str(model_id), renamed_to=None, log=log) if log.lines:
            return Deleted(model_id=model_id, log=log)
    return None


def _found_twice(entries: Iterable[Entry]) -> frozenset[tuple[str, str | None]]:
    """The keys and ETags under which one model was found more than once.

    A model that is renamed is at one key before and at another one after. If both still hold it
    when they are read again, somebody has copied the document, and it is two.
    """
    places: dict[str, dict[str, str | None]] = {}
    for entry in entries:
        if isinstance(entry.content, Model):
            places.setdefault(entry.content.model_id, {})[entry.key] = entry.etag
    return frozenset(item for keys in places.values() if len(keys) > 1 for item in keys.items())


def _listing(entries: Iterable[Entry]) -> Listing:
    by_key: dict[str, Entry] = {}
    for entry in entries:
        before = by_key.setdefault(entry.key, entry)
        if before.etag != entry.etag and isinstance(before.content, Model):
            # Another model has come to its key: where it went is not known.
            raise _TornError
        by_key[entry.key] = entry
    models = [entry.content for entry in by_key.values() if isinstance(entry.content, Model)]
    damaged = [entry for entry in by_key.values() if entry.damage is not None]
    deleted = [gone for entry in by_key.values() if (gone := deleted_at(entry)) is not None]
    return Listing(tuple(models), deleted=tuple(deleted), damaged=tuple(damaged))
