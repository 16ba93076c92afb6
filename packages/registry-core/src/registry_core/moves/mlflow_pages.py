"""All models of a server of MLflow's, read page by page.

Strategy. To ask for each model by itself takes MLflow four times as long as to give the same in
pages. So the versions of all models are read in the order of names, see `version_rows`, and a model
is whole when a later one begins. Nothing that MLflow gives is of one moment, so the rule is that of
`snapshot_reading`: a model is taken where a look at it before its versions were read and one after
agree. The look before is the list of names that there is anyway; the look after is a page of many
models. What was changed meanwhile is read by itself, until two looks at it agree.

A model that the pages leave open in any other way is read by itself, too, and so are all where a
server's pages are of no use: it has tokens of its own, another order, or leaves out rows.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeAlias, runtime_checkable

import attrs

from registry_core.errors import (
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.moves.snapshot_buffer import SnapshotBuffer
from registry_core.moves.version_rows import PAGES_AHEAD, VersionRows
from registry_core.search import AttributeRef, Entity, Page, Query
from registry_core.search.ordering import parse_order_by
from registry_core.snapshot_pieces import AnySnapshot
from registry_core.snapshot_reading import (
    Collected,
    Look,
    SnapshotReader,
    collect,
    with_location,
)
from registry_core.store import Store

LOOKS_AHEAD = 2
"""Second looks, each at many models, that are waited for while further versions are read."""

MODELS_AT_A_LOOK = 500
"""Models that wait for one second look, at most."""

VERSIONS_AT_A_LOOK = 1_000
"""Versions after which the models that have them are looked at again, however few these are."""

BYTES_AT_A_LOOK = 768 * 1024
"""As `VERSIONS_AT_A_LOOK`, of bytes that the models have, with their versions or in the list."""

THREADS = PAGES_AHEAD + LOOKS_AHEAD + 1
"""Requests that are under way at a time, so that none waits for another."""

_logger = logging.getLogger(__name__)


@runtime_checkable
class GivesRowsFrom(Protocol):
    """A store that gives the rows of a search from any one on.

    A page has fewer rows than were asked for where these are many bytes.
    """

    def models_page(self, query: Query) -> Page[RegisteredModel]:
        """As `Store.search_registered_models`."""
        ...

    def models_from(self, query: Query, start: int) -> Page[RegisteredModel]:
        """Return the page that begins after so many rows.

        Raises:
            UnsupportedBackendError: The server has other pages.
        """
        ...

    def versions_from(self, query: Query, start: int) -> Page[ModelVersion]:
        """As `models_from`; versions may come without their aliases."""
        ...


@attrs.frozen
class Listing:
    """The models, or the prompts, that a search has given."""

    query: Query
    looks: Mapping[str, Look | None]
    """What each was like, by its name, in the server's order; None of a store with a history."""


@contextlib.contextmanager
def reading(
    store: Store, reader: SnapshotReader, models: Listing, prompts: Listing
) -> Iterator[Callable[[str], AnySnapshot | None]]:
    """Give what returns a model that is read with others; None for one to be read by itself.

    It is to be asked once for each name. That of a store with a history returns None each time.
    """
    first = next(iter({**models.looks, **prompts.looks}), None)
    is_by_name = all(each.operand == AttributeRef("name") for each in models.query.filter)
    if (
        first is None
        or not is_by_name  # a search for versions knows no other clause of one for models
        or not isinstance(store, GivesRowsFrom)
        or reader.keeps_history(first)
    ):
        yield lambda _: None
        return
    with ThreadPoolExecutor(THREADS, thread_name_prefix="registry-pages") as pool:
        paged_models = PagedModels(store, models, pool, left_out=prompts.looks.keys())
        paged_prompts = PagedModels(store, prompts, pool)
        try:
            yield (
                lambda name: (
                    paged_prompts.take(name) if name in prompts.looks else paged_models.take(name)
                )
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for paged in (paged_models, paged_prompts):
                paged.close()


@attrs.frozen
class _ModelRead:
    """A model whose versions were read."""

    name: str
    versions: Collected
    numbers: frozenset[int]


_Waiting: TypeAlias = tuple[int, Future[Page[RegisteredModel]], list[_ModelRead]]
_Answered: TypeAlias = tuple[int, Page[RegisteredModel], list[_ModelRead]]
"""Some models, a page with them as they are after their versions were read, and the row at which it
begins."""


def _answered(waiting: _Waiting) -> _Answered:
    start, page, chunk = waiting
    return start, page.result(), chunk


@attrs.define
class PagedModels:
    """Reads the models of a listing."""

    store: GivesRowsFrom
    listing: Listing
    pool: ThreadPoolExecutor
    left_out: Container[str] = ()
    """Models that nobody will take: MLflow before 2.21 lists prompts among models, too."""
    _names: Sequence[str] = attrs.field(init=False)
    _places: Mapping[str, int] = attrs.field(init=False)
    _buffer: SnapshotBuffer = attrs.field(init=False, factory=SnapshotBuffer)
    _chunks: Iterator[_Answered] = attrs.field(init=False)
    _passed: int = 0
    """How many models are behind what was read."""
    _moved: int = 0
    """How many rows further back models are than they were when they were listed."""

    def __attrs_post_init__(self) -> None:
        self._names = [*self.listing.looks]
        self._places = {name: place for place, name in enumerate(self._names)}
        self._chunks = self._looked_at()

    def take(self, name: str) -> AnySnapshot | None:
        """Return a model; None if it has to be read by itself. To be asked once for each."""
        while self._places[name] >= self._passed:
            self._go_on()
        return self._buffer.take(name)

    def close(self) -> None:
        """Remove what was read and not taken."""
        self._buffer.close()

    def _go_on(self) -> None:
        """Read some more models."""
        self._buffer.make_room()
        try:
            start, page, chunk = next(self._chunks)
        except (InvalidArgumentError, StoreUnavailableError, UnsupportedBackendError) as error:
            _logger.info("The models that are left are read one by one: %s", error)
            self._passed = len(self._names)
            return
        self._passed += len(chunk)
        now: dict[str, RegisteredModel] = {}
        for row, model in enumerate(page.items, start):
            if model.name in self._places:
                self._moved = row - self._places[model.name]
                now[model.name] = model
        for model_read in chunk:
            model_now = now.get(model_read.name)
            if model_now is not None and self._is_as_it_was(model_now, model_read):
                self._buffer.put(model_read.versions.without_history(model_now, model_read.numbers))

    def _is_as_it_was(self, model: RegisteredModel, model_read: _ModelRead) -> bool:
        if model.name in self.left_out or Look.at(model) != self.listing.looks[model.name]:
            return False
        # Versions may be filtered in another way than their models.
        return all(version.version in model_read.numbers for version in model.latest_versions)

    # Second looks

    def _looked_at(self) -> Iterator[_Answered]:
        """Yield models whose versions were read, with a second look at them."""
        waiting: deque[_Waiting] = deque()
        place = 0
        for chunk in self._in_chunks():
            start = max(0, place + self._moved)
            waiting.append((start, self.pool.submit(self._look, start, len(chunk)), chunk))
            place += len(chunk)
            while len(waiting) > LOOKS_AHEAD:
                yield _answered(waiting.popleft())
        yield from map(_answered, waiting)

    def _look(self, start: int, count: int) -> Page[RegisteredModel]:
        query = attrs.evolve(self.listing.query, max_results=count)
        return self.store.models_from(query, start)

    def _in_chunks(self) -> Iterator[list[_ModelRead]]:
        chunk: list[_ModelRead] = []
        versions = size = 0
        for model_read in self._each():
            chunk.append(model_read)
            versions += len(model_read.numbers)
            look = self.listing.looks[model_read.name]
            size += max(model_read.versions.size, 0 if look is None else look.size)
            is_full = versions >= VERSIONS_AT_A_LOOK or size >= BYTES_AT_A_LOOK
            if is_full or len(chunk) == MODELS_AT_A_LOOK:
                yield chunk
                chunk, versions, size = [], 0, 0
        if chunk:
            yield chunk

    # Versions

    def _each(self) -> Iterator[_ModelRead]:
        """Yield all models in the server's order, with their versions or without any."""
        following = 0
        for place, rows in groupby(VersionRows(self._ask, self._places), key=itemgetter(0)):
            yield from (self._read(each, ()) for each in range(following, place))
            yield self._read(place, (version for _, version in rows))
            following = place + 1
        yield from (self._read(each, ()) for each in range(following, len(self._names)))

    def _read(self, place: int, versions: Iterable[ModelVersion]) -> _ModelRead:
        numbers: set[int] = set()

        def seen() -> Iterator[tuple[ModelVersion, tuple[()]]]:
            for version in versions:
                numbers.add(version.version)
                yield version, ()

        collected = collect(self._names[place], seen(), ())
        return _ModelRead(self._names[place], collected, frozenset(numbers))

    def _ask(self, start: int, rows: int) -> Future[Page[ModelVersion]]:
        return self.pool.submit(self._versions, start, rows)

    def _versions(self, start: int, rows: int) -> Page[ModelVersion]:
        query = Query(
            entity=Entity.MODEL_VERSION,
            filter=self.listing.query.filter,
            order_by=parse_order_by(("name", "version_number ASC"), Entity.MODEL_VERSION),
            max_results=rows,
            exclude_prompts=self.listing.query.exclude_prompts,
        )
        page = self.store.versions_from(query, start)
        return attrs.evolve(page, items=[self._located(version) for version in page.items])

    def _located(self, version: ModelVersion) -> ModelVersion:
        if version.name not in self._places:
            return version
        try:
            return with_location(self.store, version)
        except NotFoundError:
            return version  # it has gone since, and its model has changed
