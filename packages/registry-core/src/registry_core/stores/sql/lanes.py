"""Lanes: no kind of work, and no model, takes all connections to a database.

Strategy: a search may take seconds, and a change waits for the one that has locked its model's row;
a read takes a fraction of a millisecond. Were they to share the connections as they come, a few
slow ones would have them all. So searches and changes each have a number of places, fewer than
there are connections together, and the changes of one model have two of them: the others wait in
the process, first come, first served, without a connection. Some places of the searches are for
those that an event loop tries before it hands them to threads, so that quick ones pass slow ones;
an event loop has all of them that no thread takes, and a few that no change takes. Searches by one
value to which an index leads have a place of their own: a server asks so whose a file is, before
it lets somebody write it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from registry_core.errors import StoreBusyError
from registry_core.inloop import WouldBlockError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.fair_semaphore import FairSemaphore

CHANGES_SHARE = 2
"""Of so many connections one may be a change's."""

SEARCHES_SHARE = 4
"""Of so many connections one may be a search's, in threads."""

PROCESSORS_SHARE = 2
"""Of so many processors one may be a search's, where the database computes in this process. The
others are for those whose answers take hardly any computing."""

INLOOP_SEARCHES_SHARE = 8
"""Of so many connections one is for searches that an event loop tries, and for no others. With the
others, a small number of connections leaves one, and the usual 16 leave two, that are for reads
alone."""

LENT_SHARE = 4
"""Of so many places for changes one may be lent to a search that an event loop tries. It has it for
a second at most, and a change that waits has the next one."""

CHANGES_OF_A_MODEL = 2
"""Changes of one model under way: the second is there when the first gives the lock back."""

MOST_WAITING_FOR_A_MODEL = 256
"""Changes of one model that wait, each in a thread."""

CHANGE_SECONDS = 5.0
"""How long a change waits for a place."""

SEARCH_SECONDS = 30.0
"""How long a search waits for a place: as long as the one before it may take."""

MODEL_SECONDS = 10.0
"""How long to wait for a model: as long as a change that has its place is tried."""


_NO_PLACE = contextlib.nullcontext()


class Lanes:
    """The places for one process's use of a database. Thread-safe."""

    def __init__(self, connections: int, *, is_in_process: bool) -> None:
        changes = max(1, connections // CHANGES_SHARE)
        searches = max(1, connections // SEARCHES_SHARE)
        inloop_searches = 0 if is_in_process else connections // INLOOP_SEARCHES_SHARE
        if is_in_process:
            searches = min(searches, max(1, (os.cpu_count() or 1) // PROCESSORS_SHARE))
        self._changes = FairSemaphore(changes)
        self._searches_in_threads = FairSemaphore(searches)
        self._searches: FairSemaphore | None = None
        """All of them. Where the database computes in this process, an event loop has one search at
        a time, whatever threads have."""
        if not is_in_process:
            self._searches = FairSemaphore(searches + inloop_searches)
        self._lent = FairSemaphore(0 if is_in_process else changes // LENT_SHARE)
        """Of the places for changes, those that may be searches' of an event loop."""
        self._lookups: FairSemaphore | None = None
        """Their place, where that leaves one for reads; else they are searches like others."""
        if connections - changes - searches - inloop_searches > 1:
            self._lookups = FairSemaphore(1)
        self._models = _Models()

    def change(self, model: str | None) -> contextlib.AbstractContextManager[None]:
        """Hold a place for a change, of a model if it is one's.

        Raises:
            StoreBusyError: others have kept the model, or all places, for too long.
        """
        place = _Place(self._changes, "changes", CHANGE_SECONDS)
        return place if model is None else _PlaceOfModel(self._models, model, place)

    @contextlib.contextmanager
    def search(self) -> Iterator[None]:
        """Hold a place for a search.

        Raises:
            StoreBusyError: others have kept all places for too long.
        """
        with _Place(self._searches_in_threads, "searches", SEARCH_SECONDS):
            if self._searches is None:
                yield
                return
            # Those of an event loop do not wait for one, so the next that is free is for this.
            with _Place(self._searches, "searches", SEARCH_SECONDS):
                yield

    def of(self, statement: Statement) -> contextlib.AbstractContextManager[None]:
        """Hold the place that a statement needs which reads in a thread: none, if it is quick.

        Raises:
            StoreBusyError: others have kept all places for too long.
        """
        if statement.is_lookup and self._lookups is not None:
            return _Place(self._lookups, "look-ups", SEARCH_SECONDS)
        return self.search() if statement.is_search else _NO_PLACE

    def search_inloop(self) -> Callable[[], None]:
        """Take a place for a search of an event loop, if it needs one; what it returns ends it.

        Raises:
            WouldBlockError: all are taken.
        """
        if self._searches is None:
            return _nothing
        if self._searches.acquire(timeout=0):
            return self._searches.release
        if self._lent.acquire(timeout=0):
            if self._changes.acquire(timeout=0):
                return self._give_back_lent
            self._lent.release()
        raise WouldBlockError("As many searches are under way as may be")

    def _give_back_lent(self) -> None:
        self._changes.release()
        self._lent.release()


def _nothing() -> None:
    """End a search that has no place."""


class _Place:
    """A place of a lane, while a block runs. Each change has one: a generator would cost more."""

    __slots__ = ("_seconds", "_semaphore", "_whose")

    def __init__(self, semaphore: FairSemaphore, whose: str, seconds: float) -> None:
        self._semaphore, self._whose, self._seconds = semaphore, whose, seconds

    def __enter__(self) -> None:
        if not self._semaphore.acquire(timeout=self._seconds):
            raise StoreBusyError(
                f"All connections to the database that {self._whose} may take are in use"
            )

    def __exit__(self, *_: object) -> None:
        self._semaphore.release()


class _PlaceOfModel:
    """A place for a change of one model, and then another one, while a block runs."""

    __slots__ = ("_model", "_models", "_name", "_place")

    def __init__(self, models: _Models, name: str, place: _Place) -> None:
        self._models, self._name, self._place = models, name, place

    def __enter__(self) -> None:
        self._model = self._models.take(self._name)
        try:
            self._place.__enter__()
        except BaseException:
            self._models.give_back(self._name, self._model)
            raise

    def __exit__(self, *_: object) -> None:
        self._place.__exit__()
        self._models.give_back(self._name, self._model)


class _Model:
    """A model that changes have places of, or wait for."""

    __slots__ = ("places", "users")

    def __init__(self) -> None:
        self.users = 0
        self.places: FairSemaphore | None = None
        """What gives them out, once more changes came than there are places: most meet no other."""


class _Models:
    """The models that are being changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}

    def take(self, name: str) -> _Model:
        """Take a place, for `give_back`.

        Raises:
            StoreBusyError: others have kept the model for too long, or too many wait for it.
        """
        with self._lock:
            model = self._joined(name)
            if model.places is None:
                if model.users <= CHANGES_OF_A_MODEL:
                    return model
                model.places = FairSemaphore(0)
            places = model.places
        has_place = False
        try:
            has_place = places.acquire(timeout=MODEL_SECONDS)
        finally:
            if not has_place:
                with self._lock:
                    self._leave(name, model)
        if not has_place:
            raise _model_is_busy(name)
        return model

    def give_back(self, name: str, model: _Model) -> None:
        """Give a place back."""
        with self._lock:
            if model.places is not None:
                model.places.release()
            self._leave(name, model)

    def _joined(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model()
        if model.users >= CHANGES_OF_A_MODEL + MOST_WAITING_FOR_A_MODEL:
            raise _model_is_busy(name)
        model.users += 1
        return model

    def _leave(self, name: str, model: _Model) -> None:
        model.users -= 1
        if not model.users:
            del self._models[name]


def _model_is_busy(name: str) -> StoreBusyError:
    return StoreBusyError(
        f"Too many others are changing what is named '{name}'; nothing was written"
    )
