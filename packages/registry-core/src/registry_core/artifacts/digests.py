"""The SHA-256 of what passes, computed beside the thread that moves it.

Strategy: hashing a byte costs as much as sending it. It runs outside the interpreter's lock, so a
large file is hashed on one core while another receives, sends or writes it. The thread for it
comes with the first pieces that follow each other quickly, and goes a moment after the last one:
a file that waits for its client has none.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading

_INLINE_BYTES = 1024 * 1024
"""Bytes of a file that are hashed where they come. A file that is not longer needs no thread."""

_BATCH_BYTES = 512 * 1024
"""Bytes that are handed over at a time: each hand-over costs some microseconds of both threads."""

_BATCHES = 3
"""Batches that may be on their way. Further ones would take memory and make nothing faster."""

_LINGER_SECONDS = 0.05
"""How long a thread waits for a further batch. To start one takes a thousandth of that."""

_threads = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Threads of all digests of this process: more than there are cores would make nothing faster."""


class Sha256:
    """A SHA-256 that takes pieces; for one caller at a time, from whatever threads."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._seen = 0
        self._batch: list[bytes | memoryview] = []
        self._batch_bytes = 0
        self._is_lent = False
        self._helper: _Helper | None = None

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes, which may be hashed later: those of a `memoryview` by `settle`."""
        self._seen += len(piece)
        if self._seen <= _INLINE_BYTES:
            self._digest.update(piece)
            return
        self._batch.append(piece)
        self._batch_bytes += len(piece)
        self._is_lent = self._is_lent or isinstance(piece, memoryview)
        if self._batch_bytes >= _BATCH_BYTES:
            self._hand_over()

    def settle(self) -> None:
        """Return when all bytes that were lent are hashed."""
        if not self._is_lent:
            return
        self._is_lent = False
        if self._batch:
            self._hand_over()
        if self._helper is not None:
            self._helper.settle()

    def _hand_over(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if self._helper is None:
            self._helper = _Helper(self._digest)
        self._helper.take(batch)

    def hexdigest(self) -> str:
        """Return the digest of all bytes, in hex; none may follow."""
        if self._helper is not None:
            self._helper.end()
        for piece in self._batch:
            self._digest.update(piece)
        return self._digest.hexdigest()


class _Helper:
    """Hashes batches in their order: in a thread while they come quickly and there is one."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest
        self._room = threading.Semaphore(_BATCHES)
        self._batches: queue.SimpleQueue[list[bytes | memoryview] | None] = queue.SimpleQueue()
        self._state = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, batch: list[bytes | memoryview]) -> None:
        """Hash a batch, here or in the thread."""
        self._room.acquire()
        with self._state:
            if self._thread is not None or self._starts():
                self._batches.put(batch)
                return
        self._hash(batch)

    def settle(self) -> None:
        """Return when all that was taken is hashed."""
        for _ in range(_BATCHES):
            self._room.acquire()
        self._room.release(_BATCHES)

    def end(self) -> None:
        """Return when all that was taken is hashed."""
        with self._state:
            thread = self._thread
            self._batches.put(None)
        if thread is not None:
            thread.join()

    def _starts(self) -> bool:
        if not _threads.acquire(blocking=False):
            return False
        # Not of a pool: it belongs to one file, and a process that is forked later has none of it.
        # Left behind with a file that nobody reads to its end, it ends by itself.
        thread = threading.Thread(target=self._work, name="digest", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            _threads.release()
            return False
        self._thread = thread
        return True

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._hash(batch)
        finally:
            _threads.release()

    def _next(self) -> list[bytes | memoryview] | None:
        """The next batch; None once there is none for now."""
        try:
            return self._batches.get(timeout=_LINGER_SECONDS)
        except queue.Empty:
            with self._state:
                if not self._batches.empty():
                    return self._batches.get()
                self._thread = None
                return None

    def _hash(self, batch: list[bytes | memoryview]) -> None:
        for piece in batch:
            self._digest.update(piece)
        self._room.release()
