"""An artifact store that counts what is asked of it, and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from registry_core.artifacts import ArtifactStore, FileInfo, FileWriter, Reading, write_all
from registry_core.artifacts.store import Steps
from services.forwarding import forward


class WatchedArtifacts:
    """Passes everything on to another artifact store."""

    def __init__(self, inner: ArtifactStore) -> None:
        self._inner = inner
        self._lock = threading.RLock()  # hooks write, too
        self._failures: dict[str, tuple[int, BaseException]] = {}
        self._hooks: dict[str, tuple[int, Callable[[], object]]] = {}
        self._counts: dict[str, int] = {}
        self._pauses: dict[tuple[str, str], tuple[threading.Event, threading.Event]] = {}
        self.writes: list[str] = []
        """The paths of files that were written, in order."""
        self.attempts: list[str] = []
        """The paths of files that somebody began to write, in order."""
        self.in_flight: list[str] = []
        """The paths of files that are being written."""
        self.open_readings: set[Reading] = set()
        self.bytes_read = 0
        self.reads: list[str] = []
        """The paths of files that were opened, in order."""
        forward(self, inner)

    def fail(self, method: str, *, after: int, error: BaseException) -> None:
        """From the call number `after` on, counted from 0, the method raises."""
        self._counts[method] = 0
        self._failures[method] = (after, error)

    def before(self, method: str, hook: Callable[[], object], *, times: int = 1000) -> None:
        """Before each call of the method about an artifact, so many times, the hook runs."""
        self._hooks[method] = (times, hook)

    def pause(self, method: str, path: str) -> tuple[threading.Event, threading.Event]:
        """The method waits at the last moment before a path changes.

        The first event says that it is there; setting the second lets it go on.
        """
        events = (threading.Event(), threading.Event())
        self._pauses[method, path] = events
        return events

    def heal(self) -> None:
        """Nothing fails any more."""
        self._failures.clear()

    def artifact_writes(self) -> list[str]:
        """The written paths that are no files of our own."""
        return [path for path in self.writes if not path.startswith(".registry/")]

    def artifact_reads(self) -> list[str]:
        """The opened paths that are no files of our own."""
        return [path for path in self.reads if not path.startswith(".registry/")]

    def write(self, path: str, chunks: Iterable[bytes], **options: Any) -> FileInfo:
        return write_all(self.writer(path, **options), chunks)

    def writer(self, path: str, **options: Any) -> FileWriter:
        return FileWriter(self._writing(path, options))

    def _writing(self, path: str, options: dict[str, Any]) -> Steps:
        self._enter("write", path)
        inner = self._inner.writer(path, **options)
        self.in_flight.append(path)
        self.attempts.append(path)
        try:
            while (piece := (yield)) is not None:
                inner.write(piece)
            self._wait("write", path)
            written = inner.commit()
        finally:
            inner.abort()
            self.in_flight.remove(path)
        self.writes.append(path)
        return written

    def read(self, path: str, **options: Any) -> Reading:
        self._enter("read", path)
        inner = self._inner.read(path, **options)
        self.reads.append(path)

        def close() -> None:
            inner.close()
            self.open_readings.discard(reading)

        reading = Reading(inner.info, self._counted(inner), close=close)
        self.open_readings.add(reading)
        return reading

    def _counted(self, pieces: Reading) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes_read += len(piece)
            yield piece

    def delete(self, path: str) -> None:
        self._wait("delete", path)
        self._inner.delete(path)

    def complete_multipart(self, path: str, upload_id: str, **options: Any) -> None:
        self._wait("complete_multipart", path)
        self._inner.complete_multipart(path, upload_id, **options)

    def _wait(self, method: str, path: str) -> None:
        there, go_on = self._pauses.pop((method, path), (None, None))
        if there is not None and go_on is not None:
            there.set()
            assert go_on.wait(30), "nobody let it go on"

    def _enter(self, method: str, path: str) -> None:
        with self._lock:
            times, hook = self._hooks.get(method, (0, lambda: None))
            if times and not path.startswith(".registry/"):
                self._hooks[method] = (times - 1, hook)
                hook()
            count = self._counts.get(method, 0)
            self._counts[method] = count + 1
            after, error = self._failures.get(method, (None, None))
        if error is not None and count >= after:
            raise error
