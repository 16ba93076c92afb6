"""Where snapshots come from: stores, files, and the databases of MLflow."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Protocol, TypeAlias

import attrs

from registry_core import backends, snapshot_pieces, validation
from registry_core.errors import InvalidArgumentError, RegisteredModelNotFoundError
from registry_core.models import Webhook
from registry_core.moves import mlflow_pages
from registry_core.moves.mlflow_pages import GivesRowsFrom, Listing
from registry_core.registry import Registry
from registry_core.search import Comparison, Entity, Filter, Op, Query, TagRef
from registry_core.search.language import parse_filter
from registry_core.search.ordering import parse_order_by
from registry_core.search.page_sizes import MOST_ROWS, fitting_rows, row_bytes
from registry_core.snapshot_pieces import AnySnapshot
from registry_core.snapshot_reading import Locates, Look, SnapshotReader
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store

Item: TypeAlias = tuple[str, Callable[[], AnySnapshot]]
"""The name of a model, and what reads its snapshot; that raises
`RegisteredModelNotFoundError` if the model has gone meanwhile. What has read the model before its
turn says so in `size`; see `held_by`."""


class SnapshotSource(Protocol):
    """Gives the models of a registry, one after the other, in the order of their names."""

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """Yield the models and prompts that match a filter, as that of a search."""
        ...


@attrs.frozen
class StoreSource:
    """The models of a store."""

    store: Store

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`."""
        reader = SnapshotReader(self.store)
        models, prompts = self._listed(filter_text)
        with mlflow_pages.reading(self.store, reader, models, prompts) as take:
            for name, look in sorted({**models.looks, **prompts.looks}.items()):
                yield name, _Reading(take(name), partial(reader.open, name, look))

    def webhooks(self) -> list[Webhook]:
        """See `webhooks.WebhookSource`."""
        return self.store.list_webhooks()

    def names(self, filter_text: str | None = None) -> Iterator[str]:
        """Yield the names of the models and prompts that match, in the order of their characters.

        A server of MLflow's gives them in the order of its database, which may be that of a
        language, so all are read before the first is given.
        """
        models, prompts = self._listed(filter_text)
        yield from sorted({**models.looks, **prompts.looks})

    def _listed(self, filter_text: str | None) -> tuple[Listing, Listing]:
        """The models that match, and the prompts."""
        clauses = parse_filter(filter_text, Entity.REGISTERED_MODEL)
        # A server with MLflow's API cannot be asked for both at once.
        prompts = (*clauses, Comparison(TagRef(validation.PROMPT_TAG), Op.EQ, "true"))
        return (
            self._listing(clauses, exclude_prompts=True),
            self._listing(prompts, exclude_prompts=False),
        )

    def _listing(self, clauses: Filter, *, exclude_prompts: bool) -> Listing:
        query = Query(
            entity=Entity.REGISTERED_MODEL,
            filter=clauses,
            order_by=parse_order_by(("name",), Entity.REGISTERED_MODEL),
            max_results=MOST_ROWS,
            exclude_prompts=exclude_prompts,
        )
        search = self.store.search_registered_models
        if isinstance(self.store, GivesRowsFrom):
            search = self.store.models_page
        models = fitting_rows(search, query, is_limited=True)
        looks_twice = isinstance(self.store, Locates)
        looks = {model.name: Look.at(model) if looks_twice else None for model in models}
        return Listing(query, looks)


@attrs.define
class _Reading:
    """What reads a model: the first time, from where it was read with others."""

    _at_first: AnySnapshot | None
    _by_itself: Callable[[], AnySnapshot]
    size: int = attrs.field(init=False)
    """See `held_by`."""

    def __attrs_post_init__(self) -> None:
        held = self._at_first
        if isinstance(held, ModelSnapshot):
            self.size = sum(map(row_bytes, held.versions.values()))
        else:
            # One in a file is read piece by piece.
            self.size = 0 if held is None else snapshot_pieces.PIECE_CHARACTERS

    def __call__(self) -> AnySnapshot:
        """Return the model as it is now, or was when it was read with others."""
        snapshot, self._at_first = self._at_first, None
        return self._by_itself() if snapshot is None else snapshot


@attrs.frozen
class Changed:
    """What reads a model, and makes another one of it."""

    read: Callable[[], AnySnapshot]
    change: Callable[[AnySnapshot], AnySnapshot]

    @property
    def size(self) -> int:
        """See `held_by`."""
        return _size(self.read)

    def __call__(self) -> AnySnapshot:
        """Return what has become of the model."""
        return self.change(self.read())


def held_by(item: Item) -> int:
    """Return about how many bytes a model has that was read before its turn; 0 of any other."""
    return _size(item[1])


def _size(read: Callable[[], AnySnapshot]) -> int:
    size: int = getattr(read, "size", 0)
    return size


def snapshot_in(registry: Registry, name: str) -> AnySnapshot | None:
    """Return the model of that name, as a registry has it; None if it has none."""
    try:
        return registry.open_snapshot(name)
    except RegisteredModelNotFoundError:
        return None


END_KIND = "end_of_export"
"""What the last line of a file calls itself: without it the file was cut off."""


@attrs.frozen
class FileSource:
    """The models in a file that `write` has written."""

    path: Path

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`.

        Raises:
            InvalidArgumentError: The file is damaged or was cut off; raised where that is.
        """
        if filter_text:
            raise InvalidArgumentError("A file takes no filter")
        count = 0
        with _opened(self.path, "rb") as file:
            lines = _Numbered(self._lines(file))
            for line in lines:
                if b'"kind":"end_of_export"' in line[:40] and _end(line) == count:
                    # What compressed it has a checksum at its very end.
                    if next(lines, None) is not None:
                        raise InvalidArgumentError(f"{self.path} goes on after its last line")
                    return
                try:
                    snapshot = snapshot_pieces.read(line, lines)
                except InvalidArgumentError as error:
                    raise InvalidArgumentError(
                        f"Line {lines.number} of {self.path}: {error}"
                    ) from error
                count += 1
                yield snapshot.name, partial(_itself, snapshot)
        raise InvalidArgumentError(f"{self.path} ends after {count} models: it was cut off")

    def _lines(self, file: IO[bytes]) -> Iterator[bytes]:
        try:
            # Nobody's line is read that would fill the memory.
            while line := file.readline(snapshot_pieces.LINE_MAX_BYTES):
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InvalidArgumentError(
                f"{self.path} is not a gzip file, is damaged or was cut off: {error}"
            ) from error


@attrs.define
class _Numbered:
    """Lines, of which the number of the last one that was read is known."""

    _lines: Iterator[bytes]
    number: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.number += 1
        return line


def _itself(snapshot: AnySnapshot) -> AnySnapshot:
    return snapshot


def _end(line: bytes) -> int | None:
    """The number of models in the last line of a file; None if it is another line."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields.get("models") if isinstance(fields, dict) else None


def write(path: Path, snapshots: Iterator[AnySnapshot]) -> int:
    """Write a file with snapshots, a line each, or several for a large one. Return how many.

    It is gzip if its name ends so.

    The file appears under its name when all of it is written.
    """
    unfinished, count = path.with_name(f"{path.name}.partial"), 0
    with _opened(unfinished, "wb", is_gzip=path.suffix == ".gz") as file:
        for snapshot in snapshots:
            file.writelines(snapshot_pieces.lines_of(snapshot))
            count += 1
        file.write(f'{{"kind":"{END_KIND}","models":{count}}}\n'.encode())
    unfinished.replace(path)
    return count


def _opened(
    path: Path, mode: str, *, is_gzip: bool | None = None
) -> AbstractContextManager[IO[bytes]]:
    if is_gzip if is_gzip is not None else path.suffix == ".gz":
        # Without a time, so that equal registries are equal files.
        return gzip.GzipFile(path, mode, mtime=0)  # type: ignore[return-value]  # IO[bytes] in use
    return path.open(mode)


def open_source(url: str) -> tuple[SnapshotSource, Callable[[], None]]:
    """Return the source that a URL names, and what closes it.

    It is the URL of a store, or `mlflow+` and that of a database of MLflow's.

    Raises:
        InvalidUrlError: The URL means nothing.
        SchemaOutOfDateError: The database is of a release that this one does not know.
    """
    if url.startswith("mlflow+"):
        from registry_core.moves.mlflow_database import MlflowDatabase  # noqa: PLC0415 a driver

        database = MlflowDatabase.open(url.removeprefix("mlflow+"))
        return database, database.close
    store = backends.open_store(url, create=False)
    return StoreSource(store), store.close
