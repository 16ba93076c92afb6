"""The outbox of a bucket; see `registry_core.outbox`, and `queueing` for how it is filled.

Strategy. A listing gives the deliveries of a webhook by model and number. The first of each model
is looked at: whether it is due, and whether its event was made, for which the document of the model
is read, once for each delivery. It is taken by writing it anew with the time until which it is
taken, on the condition that it is still as it was read; the ETag of that is the lease.

An event was made by the operation that queued it if the log of the model has exactly its line under
its number. If the log has another line there, another operation was faster. If the log is not that
long yet, the operation may still be under way, and so it is until `ABANDONED_SECONDS` have passed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator
from operator import attrgetter
from typing import Any

import attrs

from registry_core.changes import Change
from registry_core.errors import StoreCorruptedError
from registry_core.outbox import (
    MOST_LISTED,
    QueuedDelivery,
    Unchanged,
    Watchers,
    oldest_kept,
)
from registry_core.stores.s3.damage import DamageLog
from registry_core.stores.s3.event_log import EventLog
from registry_core.stores.s3.objects import Listed, LostRaceError, MissingObjectError
from registry_core.stores.s3.outbox_format import StoredDelivery, decode, digest, encode
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.queueing import CONTENT_TYPE
from registry_core.stores.s3.record import Model, Tombstone, began
from registry_core.stores.s3.retry import TransientError

POLL_SECONDS = 5.0
"""Seconds between two looks for what other processes have queued. Each is a LIST for each webhook,
which is paid for: 17,280 a day."""

ABANDONED_SECONDS = 3600.0
"""Seconds after which an operation that has not made its event will not make it any more. A request
is refused a quarter of an hour after it was signed."""


_PRUNED = ""
"""In place of the line of an event that was pruned: no event has it. Nothing is pruned that a
delivery waits for, so that one which is found later was queued in vain."""


class _Verdict(enum.Enum):
    """What has become of an event that was queued."""

    MADE = enum.auto()
    UNDER_WAY = enum.auto()
    NOT_MADE = enum.auto()


@attrs.frozen
class _Queued:
    """A delivery in the bucket, as it was read."""

    key: str
    etag: str
    stored: StoredDelivery


class S3Outbox:
    """See `registry_core.outbox.Outbox`."""

    poll_seconds = POLL_SECONDS

    def __init__(
        self, prefix: Prefix, damage: DamageLog, models: Callable[[], tuple[Model, ...]]
    ) -> None:
        self._objects = prefix.objects
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._clock = prefix.clock
        self._records = prefix.journal
        self._renames = prefix.renames
        self._chunks = prefix.chunks
        self._damage = damage
        self._models = models
        self._known: dict[str, _Queued] = {}
        self._watchers = Watchers()

    def take(self, webhook_id: str, *, limit: int, lease_seconds: float) -> list[QueuedDelivery]:
        """See `Outbox`. One LIST per thousand, one GET per new delivery, a GET and a PUT each."""
        until = self._clock() + round(lease_seconds * 1000)
        taken: list[QueuedDelivery] = []
        are_removed = True
        while are_removed and not taken:
            # What was queued in vain is removed, and what comes after it is looked at.
            are_removed = self._take(webhook_id, limit, until, taken)
        return taken

    def _take(self, webhook_id: str, limit: int, until: int, taken: list[QueuedDelivery]) -> bool:
        """Take what is ready; whether something was found that goes."""
        ready, is_torn = self._ready(webhook_id)
        are_removed = False
        for queued in ready:
            if is_torn and not self._is_first(queued):
                continue
            match self._verdict(queued.stored):
                case _Verdict.MADE:
                    delivery = attrs.evolve(queued.stored.delivery, due=until)
                    leased = self._replace(queued, delivery)
                    if leased is not None:
                        taken.append(leased)
                case _Verdict.NOT_MADE:
                    self._remove(queued.key)
                    are_removed = True
            if len(taken) == limit:
                break
        return are_removed

    def done(self, delivery: QueuedDelivery) -> None:
        """See `Outbox`. One DELETE, whichever worker has it by now: it was delivered."""
        key, _ = _lease(delivery)
        self._remove(key)

    def retry(self, delivery: QueuedDelivery, *, due: int) -> None:
        """See `Outbox`. One PUT."""
        self._rewrite(delivery, due=due)

    def dead(self, delivery: QueuedDelivery, *, problem: str) -> None:
        """See `Outbox`. Two PUTs, a DELETE, and a LIST for those that have been kept too long."""
        buried = self._rewrite(delivery, due=self._clock(), problem=problem)
        if buried is not None:
            self._bury(buried)
            self._prune(delivery.webhook_id)

    def queued(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        items = self._load(self._layout.outbox_of(webhook_id))
        deliveries = (
            each.stored.delivery for each in items if each.stored.delivery.problem is None
        )
        return sorted(deliveries, key=attrgetter("age"))[:MOST_LISTED]

    def dead_letters(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        items = self._load(self._layout.dead_letters_of(webhook_id))
        return sorted(
            (each.stored.delivery for each in items), key=attrgetter("age"), reverse=True
        )[:MOST_LISTED]

    def redeliver(self, webhook_id: str, delivery_ids: Collection[str]) -> int:
        """See `Outbox`."""
        count = 0
        for dead in list(self._load(self._layout.dead_letters_of(webhook_id))):
            if dead.stored.delivery.delivery_id not in delivery_ids:
                continue
            again = dead.stored.delivery.again(self._clock())
            self._move(dead, again, self._layout.outbox_of(webhook_id))
            count += 1
        return count

    def watch(self, unchanged: Unchanged) -> None:
        """See `Outbox`."""
        self._watchers.add(unchanged)

    def unchanged(self, change: Change[Any]) -> None:
        """See a change that has left the bucket as it was."""
        self._watchers.show(change)

    def awaits(self, webhook_ids: Iterable[str], model_id: str, newest: int) -> bool:
        """Return whether an event of the model up to a number is queued, or a dead letter.

        Two LISTs each.

        Args:
            webhook_ids: The webhooks.
            model_id: The model.
            newest: The number.
        """
        places = (self._layout.outbox_of, self._layout.dead_letters_of)
        prefixes = [f"{place(each)}{model_id}/" for each in webhook_ids for place in places]
        oldest = self._pool.map(lambda each: self._objects.list_page(each).objects, prefixes)
        numbers = (_number(each.key) for listed in oldest for each in listed)
        return any(number <= newest for number in numbers)

    def forget_queued(self, webhook_id: str) -> None:
        """Remove the queued deliveries of a webhook."""
        self._remove_all(self._layout.outbox_of(webhook_id))

    def forget(self, webhook_id: str) -> None:
        """Remove everything about a webhook."""
        self.forget_queued(webhook_id)
        self._remove_all(self._layout.dead_letters_of(webhook_id))

    # What there is

    def _ready(self, webhook_id: str) -> tuple[list[_Queued], bool]:
        """The first delivery of each model that is due, oldest first.

        And whether the listing took more than one request, and so is of more than one moment.
        """
        now, first = self._clock(), dict[str, Listed]()
        prefix = self._layout.outbox_of(webhook_id)
        pages = list(self._objects.pages(prefix))
        is_torn = len(pages) > 1
        listed = sorted(
            (each for page in pages for each in page.objects), key=lambda each: each.key
        )
        for each in listed:
            first.setdefault(each.key.removeprefix(prefix).partition("/")[0], each)
        self._forget_gone(prefix, {each.key for each in listed})
        ready: list[_Queued] = []
        for queued in self._pool.map(self._look, first.values()):
            if queued is None:
                continue
            if queued.stored.delivery.problem is not None:
                self._bury(queued)  # Somebody has died over it.
            elif queued.stored.delivery.due <= now:
                ready.append(queued)
        return sorted(ready, key=lambda each: each.stored.delivery.age), is_torn

    def _is_first(self, queued: _Queued) -> bool:
        """Whether nothing earlier of its model was queued while the pages were listed."""
        of_model = f"{queued.key.rpartition('/')[0]}/"
        page = self._objects.list_page(of_model, limit=1)
        return not page.objects or page.objects[0].key == queued.key

    def _load(self, prefix: str) -> Iterator[_Queued]:
        listed = list(self._objects.list_all(prefix))
        return (each for each in self._pool.map(self._look, listed) if each is not None)

    def _look(self, listed: Listed) -> _Queued | None:
        """A delivery as a listing shows it; one GET if it is not known."""
        known = self._known.get(listed.key)
        if known is not None and known.etag == listed.etag:
            return known
        try:
            fetched = self._objects.get(listed.key)
        except MissingObjectError:
            return None
        assert fetched is not None, "an unconditional read gives the object"
        try:
            stored = decode(listed.key, fetched.body)
        except StoreCorruptedError as error:
            # It holds up what comes after it of its model, until somebody looks into it.
            self._damage.note(listed.key, fetched.etag, str(error))
            return None
        return self._remember(_Queued(listed.key, fetched.etag, stored))

    def _remember(self, queued: _Queued) -> _Queued:
        self._known[queued.key] = queued
        return queued

    def _forget_gone(self, prefix: str, present: Collection[str]) -> None:
        for key in [each for each in tuple(self._known) if each.startswith(prefix)]:
            if key not in present:
                self._known.pop(key, None)

    # Whether it was made

    def _verdict(self, stored: StoredDelivery) -> _Verdict:
        event = stored.delivery.event
        line = self._line(event.model_id, event.name, event.sequence)
        if line is not None:
            return _Verdict.MADE if digest(line) == stored.line else _Verdict.NOT_MADE
        age = self._clock() - began(stored.operation)
        return _Verdict.UNDER_WAY if age < ABANDONED_SECONDS * 1000 else _Verdict.NOT_MADE

    def _line(self, model_id: str, name: str, sequence: int) -> str | None:
        """The line of an event, or None if the model has not come to that number."""
        log = self._log(model_id, name)
        if log is None or sequence >= log.end:
            return None
        if sequence < log.begins:
            return _PRUNED
        lines = self._chunks.with_event(model_id, log, sequence)
        return lines.lines[sequence - lines.first]

    def _log(self, model_id: str, name: str) -> EventLog | None:
        """The log of a model that had this name once; None if there is no such model yet."""
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            entry = self._renames.settle(self._records.read(self._layout.model(name)))
            content = entry.content
            if isinstance(content, Model | Tombstone) and content.model_id == model_id:
                if not isinstance(content, Tombstone) or content.renamed_to is None:
                    return content.log
                name = content.renamed_to
                continue
            moves = [each for each in entry.record.departures if each.model_id == model_id]
            if moves and moves[-1].renamed_to is not None:
                name = moves[-1].renamed_to
        deleted = self._chunks.find_deleted(model_id)
        if deleted is not None:
            return deleted
        # Its name has been used so often since that nobody knows where it went.
        of_id = (each.log for each in self._models() if each.model_id == model_id)
        return next(of_id, None)

    # What becomes of it

    def _replace(self, queued: _Queued, delivery: QueuedDelivery) -> QueuedDelivery | None:
        """The delivery, if it could be written in the place of what was found."""
        stored = attrs.evolve(queued.stored, delivery=delivery)
        try:
            etag = self._objects.put(
                queued.key, encode(stored), condition=queued.etag, content_type=CONTENT_TYPE
            )
        except (LostRaceError, TransientError):
            return None  # If it was written after all, that lease runs out.
        self._remember(_Queued(queued.key, etag, stored))
        return attrs.evolve(delivery, lease=f"{etag} {queued.key}")

    def _rewrite(self, delivery: QueuedDelivery, **changes: Any) -> _Queued | None:
        key, etag = _lease(delivery)
        known = self._known.get(key)
        if known is None or known.etag != etag:
            return None  # The lease has run out, and somebody else has it.
        changed = self._replace(known, attrs.evolve(delivery, lease="", **changes))
        return None if changed is None else self._known[key]

    def _bury(self, queued: _Queued) -> None:
        self._move(queued, queued.stored.delivery, self._layout.dead_letters_of(_hook(queued)))

    def _move(self, queued: _Queued, delivery: QueuedDelivery, prefix: str) -> None:
        stored, event = attrs.evolve(queued.stored, delivery=delivery), delivery.event
        end = self._layout.delivery(event.model_id, event.sequence, stored.operation)
        self._objects.put_always(f"{prefix}{end}", encode(stored), content_type=CONTENT_TYPE)
        self._remove(queued.key)

    def _prune(self, webhook_id: str) -> None:
        oldest = oldest_kept(self._clock())
        dead = self._load(self._layout.dead_letters_of(webhook_id))
        old = [each.key for each in dead if each.stored.delivery.due < oldest]
        self._pool.map(self._remove, old)

    def _remove(self, key: str) -> None:
        self._objects.delete(key)
        self._known.pop(key, None)

    def _remove_all(self, prefix: str) -> None:
        self._pool.map(self._remove, [each.key for each in self._objects.list_all(prefix)])


def _number(key: str) -> int:
    """The number of the event of a delivery."""
    return int(key.rpartition("/")[2].partition("-")[0])


def _hook(queued: _Queued) -> str:
    return queued.stored.delivery.webhook_id


def _lease(delivery: QueuedDelivery) -> tuple[str, str]:
    """The key of a delivery that was taken, and the ETag that it got."""
    etag, _, key = delivery.lease.partition(" ")
    return key, etag
