"""Snapshots that are too large for memory: lines of JSON in a temporary file.

Strategy: a snapshot of a model with many versions or events is a head and numbered pieces, each of
a bounded size, versions before events. It is kept in a temporary file just as an export has it, so
that it can be read as often as is needed, one piece at a time: it is compared, written into another
store, or sent as it is. What is cut where depends on the model alone, so that equal models are
equal bytes.

The head is the object of a model as `snapshot_format` has it, with `pieces` in place of `versions`
and `events`. A piece is an object, too: its `kind`, the `name` of its model, its number, and either
`versions` or `events`.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, Any, TypeAlias

import attrs
import msgspec

from registry_core import documents, snapshot_format
from registry_core.documents import ModelDocument
from registry_core.errors import InvalidArgumentError
from registry_core.history import Event
from registry_core.models import Approval, ModelFields, ModelVersion, Stage
from registry_core.snapshot_format import Json
from registry_core.snapshots import ModelSnapshot, Snapshot

PIECE_ROWS = 1_000
"""Versions, or events, of one piece, and the most that a snapshot in one piece has of each. Part of
what an export looks like: with another number equal models are other bytes."""

PIECE_CHARACTERS = 1024 * 1024
"""Characters of JSON after which a piece gets no further row; as `PIECE_ROWS`."""

LINE_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a line that is read from a file. A snapshot in one piece may have a thousand versions
with long texts."""

PIECE_MAX_BYTES = 16 * 1024 * 1024
"""Bytes of a line that a server takes: a piece has a million characters, and one row that may have
as many tags as a version can, which are a megabyte, and texts of 100,000 characters."""

PIECES_MAX = 100_000
"""Pieces of one snapshot: a hundred million versions or events. Where each is in its file is kept
in memory, which a client that sends empty ones could fill."""

PIECE_KIND = "model_snapshot_piece"
"""What the object of a piece calls itself."""


@attrs.frozen
class _Piece:
    """Where a piece is in the file."""

    offset: int
    size: int
    has_versions: bool


class _Lines:
    """A temporary file of lines. Thread-safe; removed with its last user."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="registry-")  # noqa: SIM115 see `close`
        self._lock = threading.Lock()
        self._size = 0
        self.close = weakref.finalize(self, self._file.close)

    def append(self, line: bytes, *, has_versions: bool) -> _Piece:
        with self._lock:
            self._file.seek(self._size)
            self._file.write(line)
            piece = _Piece(self._size, len(line), has_versions)
            self._size += len(line)
        return piece

    def read(self, piece: _Piece) -> bytes:
        with self._lock:
            self._file.seek(piece.offset)
            return self._file.read(piece.size)


@attrs.frozen(kw_only=True, eq=False)
class SpooledSnapshot:
    """A registered model that is too large for memory, as it is at one moment.

    It is in a temporary file, of some kilobyte for each version with its events, which goes when
    nobody has the snapshot any more.

    Example:
        >>> large = registry.open_snapshot("churn")
        >>> elsewhere.restore(large).name
        'churn'
    """

    document: ModelDocument
    """The model, without its versions and approvals."""
    version_count: int
    """How many versions the model has."""
    event_count: int
    """How many events its history has."""
    newest: Event | None
    """The newest event; None where the history is empty."""
    stages: frozenset[Stage]
    """The stages in which the model has a version."""
    _pieces: tuple[_Piece, ...]
    _lines: _Lines

    @property
    def name(self) -> str:
        """The model's name."""
        return self.document.name

    @property
    def last(self) -> int:
        """The number of the newest event; 0 where the history is empty."""
        return 0 if self.newest is None else self.newest.sequence

    def each_version(self) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
        """Yield the versions in ascending order of their numbers, each with its approvals."""
        pointing = documents.aliases_by_version(self.document.aliases)
        for piece in self._pieces:
            if piece.has_versions:
                rows = _rows(self._lines.read(piece), "versions")
                versions, approvals = _decoded_versions(rows, self.document)
                for version in versions:
                    number = version.version
                    if number in pointing:
                        version = attrs.evolve(version, aliases=pointing[number])  # noqa: PLW2901
                    yield version, documents.by_actor(approvals.get(number, ()))

    def each_event(self) -> Iterator[Event]:
        """Yield the history, oldest event first."""
        for piece in self._pieces:
            if not piece.has_versions:
                rows = _rows(self._lines.read(piece), "events")
                yield from _decoded_events(rows, self.document.model_id)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of an export: the head, then the pieces."""
        yield self._head()
        for piece in self._pieces:
            yield self._lines.read(piece)

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return len(self._head()) + sum(piece.size for piece in self._pieces)

    def _head(self) -> bytes:
        fields = snapshot_format.encode_model(self.document)
        fields |= {"format_version": snapshot_format.FORMAT_VERSION, "pieces": len(self._pieces)}
        return f"{snapshot_format.line_of(fields)}\n".encode()

    def with_id(self, model_id: str) -> SpooledSnapshot:
        """Return the snapshot of the same model under this id."""
        newest = self.newest and attrs.evolve(self.newest, model_id=model_id)
        document = attrs.evolve(self.document, model_id=model_id)
        return attrs.evolve(self, document=document, newest=newest)

    def whole(self) -> ModelSnapshot:
        """Return the same snapshot in memory.

        Raises:
            InvalidArgumentError: Two of its versions have one number.
        """
        versions, approvals = list[ModelVersion](), {}
        for version, given in self.each_version():
            versions.append(version)
            if given:
                approvals[version.version] = given
        document = documents.build(attrs.evolve(self.document, approvals=approvals), versions)
        if len(document.versions) < len(versions):
            raise InvalidArgumentError(
                f"Two versions in the snapshot of model '{self.name}' have one number"
            )
        return ModelSnapshot(document=document, events=tuple(self.each_event()))

    def close(self) -> None:
        """Remove the temporary file. It goes by itself, too, when the snapshot does."""
        self._lines.close()


AnySnapshot: TypeAlias = ModelSnapshot | SpooledSnapshot
"""A snapshot in memory, or of a large model in a temporary file."""


class _Spooling:
    """The pieces of a snapshot that are in a temporary file so far, and what is in them."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._pieces: list[_Piece] = []
        self._versions = self._events = 0
        self._stages: set[Stage] = set()
        self._newest: Event | None = None

    def _spooled(self, document: ModelDocument) -> SpooledSnapshot:
        return SpooledSnapshot(
            document=documents.build(document, ()),
            version_count=self._versions,
            event_count=self._events,
            newest=self._newest,
            stages=frozenset(self._stages),
            pieces=tuple(self._pieces),
            lines=self._lines,
        )


class SpoolWriter(_Spooling):
    """Writes a snapshot piece by piece: all versions in ascending order, then all events."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._rows: list[str] = []
        self._characters = 0
        self._is_of_events = False

    def add_version(self, version: ModelVersion, approvals: Iterable[Approval] = ()) -> None:
        """Add the next version."""
        self._versions += 1
        self._stages.add(version.current_stage)
        self._add(snapshot_format.encode_version(version, documents.by_actor(approvals)))

    def add_event(self, event: Event) -> None:
        """Add the next event."""
        if not self._is_of_events:
            self._end_piece()
            self._is_of_events = True
        self._events += 1
        self._newest = event
        self._add(snapshot_format.encode_event(event))

    def finish(self, document: ModelDocument) -> SpooledSnapshot:
        """Return the snapshot of a model whose versions and events were added."""
        self._end_piece()
        return self._spooled(attrs.evolve(document, approvals={}))

    def _add(self, fields: Json) -> None:
        row = snapshot_format.line_of(fields)
        self._rows.append(row)
        self._characters += len(row)
        if len(self._rows) >= PIECE_ROWS or self._characters >= PIECE_CHARACTERS:
            self._end_piece()

    def _end_piece(self) -> None:
        if not self._rows:
            return
        what = "events" if self._is_of_events else "versions"
        about: Json = {"kind": PIECE_KIND, "name": self._name, "piece": len(self._pieces) + 1}
        head = snapshot_format.line_of(about).removesuffix("}")
        line = f'{head},"{what}":[{",".join(self._rows)}]}}\n'.encode()
        self._pieces.append(self._lines.append(line, has_versions=not self._is_of_events))
        self._rows, self._characters = [], 0


def spooled(snapshot: Snapshot) -> SpooledSnapshot:
    """Return a snapshot as one that is in a temporary file."""
    if isinstance(snapshot, SpooledSnapshot):
        return snapshot
    writer = SpoolWriter(snapshot.name)
    for version, approvals in snapshot.each_version():
        writer.add_version(version, approvals)
    for event in snapshot.each_event():
        writer.add_event(event)
    return writer.finish(snapshot.document)


def in_memory(snapshot: ModelSnapshot | SpooledSnapshot) -> ModelSnapshot:
    """Return a snapshot as one that is in memory, for who has to have all of it at once."""
    return snapshot.whole() if isinstance(snapshot, SpooledSnapshot) else snapshot


def is_large(snapshot: ModelSnapshot | SpooledSnapshot) -> bool:
    """Return whether a snapshot goes in pieces, wherever it is."""
    return max(snapshot.version_count, snapshot.event_count) > PIECE_ROWS


def lines_of(snapshot: ModelSnapshot | SpooledSnapshot) -> Iterator[bytes]:
    """Yield the lines of a snapshot: one, or a head and its pieces."""
    if not is_large(snapshot):
        yield f"{snapshot_format.dumps(in_memory(snapshot))}\n".encode()
    else:
        yield from spooled(snapshot).lines()


def read(line: bytes, following: Iterator[bytes]) -> ModelSnapshot | SpooledSnapshot:
    """Return the snapshot in a line, and as many of the following ones as it has pieces.

    Raises:
        InvalidArgumentError: It is none, a piece is missing or another one's, or what is in it
            cannot be read. What is legal, `snapshots.check` says.
    """
    fields = _object(line)
    if "pieces" not in fields:
        return snapshot_format.decode(fields)
    incoming = IncomingSnapshot(fields)
    while incoming.awaits:
        incoming.add(next(following, b""))
    return incoming.finish()


class IncomingSnapshot(_Spooling):
    """A snapshot in pieces, as they come."""

    def __init__(self, head: bytes | Json) -> None:
        super().__init__()
        fields = _object(head) if isinstance(head, bytes) else head
        snapshot_format.check_kind(fields)
        self._document, self.awaits = snapshot_format.decode_head(fields)
        if not 0 <= self.awaits <= PIECES_MAX:
            raise InvalidArgumentError(
                f"The snapshot of model '{self._document.name}' cannot have {self.awaits} pieces"
            )

    def add(self, line: bytes) -> None:
        """Add the next piece.

        Raises:
            InvalidArgumentError: It is another one, or cannot be read.
        """
        fields, number = _object(line), len(self._pieces) + 1
        about = (fields.pop("kind", None), fields.pop("name", None), fields.pop("piece", None))
        if about != (PIECE_KIND, self._document.name, number) or not self.awaits:
            raise InvalidArgumentError(
                f"Piece {number} of the snapshot of model '{self._document.name}' is missing, or "
                "is not where it belongs"
            )
        has_versions = self._count(fields)
        line = line if line.endswith(b"\n") else line + b"\n"
        self._pieces.append(self._lines.append(line, has_versions=has_versions))
        self.awaits -= 1

    def _count(self, rows_of: Json) -> bool:
        """Note what a piece has; whether it has versions."""
        match rows_of:
            case {"versions": list(rows)} if len(rows_of) == 1 and not self._events:
                versions, _ = _decoded_versions(rows, self._document)
                self._versions += len(versions)
                self._stages.update(version.current_stage for version in versions)
                return True
            case {"events": list(rows)} if len(rows_of) == 1:
                events = _decoded_events(rows, self._document.model_id)
                self._events += len(events)
                self._newest = events[-1] if events else self._newest
                return False
        raise InvalidArgumentError("A piece has either versions or events, and versions come first")

    def finish(self) -> SpooledSnapshot:
        """Return the snapshot of what was added.

        Raises:
            InvalidArgumentError: A piece is missing.
        """
        if self.awaits:
            raise InvalidArgumentError(
                f"The snapshot of model '{self._document.name}' lacks its last pieces"
            )
        return self._spooled(self._document)


def _object(line: bytes) -> Json:
    fields = _parsed(line)
    if isinstance(fields, dict):
        return fields
    raise _not_a_snapshot()


def _rows(line: bytes, what: str) -> list[Any]:
    rows: list[Any] = _parsed(line)[what]
    return rows


def _parsed(line: bytes) -> Any:
    """What a line says. One parser says so each time: others take more than RFC 8259 has."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        raise _not_a_snapshot() from None


def _not_a_snapshot() -> InvalidArgumentError:
    return InvalidArgumentError("This is not a snapshot of a model, nor a piece of one")


def _decoded_versions(
    rows: list[Any], model: ModelFields
) -> tuple[list[ModelVersion], snapshot_format.Approvals]:
    return snapshot_format.reading(lambda: snapshot_format.decode_versions(rows, model))


def _decoded_events(rows: list[Any], model_id: str) -> list[Event]:
    return snapshot_format.reading(
        lambda: [snapshot_format.decode_event(row, model_id) for row in rows]
    )
