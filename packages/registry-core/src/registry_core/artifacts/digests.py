"""Digests of what passes, computed beside the thread that moves it.

Strategy: hashing a byte by SHA-256 costs as much as sending it. It runs outside the interpreter's
lock, so a large file is hashed on one core while another receives, sends or writes it. The thread
for it comes with the first pieces that follow each other quickly, and goes a moment after the last
one: a file that waits for its client has none. A piece of an open file is read there, too.

SHA-256 is what names bytes, and is in every manifest. XXH3 costs a thirtieth of it, and tells
whether bytes came as they were sent: a fault leaves its 128 bits as they are with a chance of
2**-128. Somebody who wants to can make other bytes with the same ones; that nobody does so on the
way is what TLS is for.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from typing import Protocol, TypeAlias

from registry_core.artifacts.open_files import FilePiece, Piece
from registry_core.artifacts.store import CHUNK_SIZE
from registry_core.errors import InvalidArgumentError

_Part: TypeAlias = Piece | memoryview

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


class _Algorithm(Protocol):
    """A digest of `hashlib` or of `xxhash`."""

    def update(self, piece: bytes | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class Digest:
    """A digest that takes pieces; for one caller at a time, from whatever threads."""

    def __init__(self, algorithm: _Algorithm, *, is_slow: bool) -> None:
        """Compute by an algorithm; one that is not slow needs a thread only to read files."""
        self._digest = _Digest(algorithm)
        self._is_slow = is_slow
        self._seen = 0
        self._batch: list[_Part] = []
        self._batch_bytes = 0
        self._helper: _Helper | None = None

    def update(self, piece: _Part) -> None:
        """Take the next bytes, which may be read and hashed later; not those of a `memoryview`."""
        self._seen += len(piece)
        is_lent = isinstance(piece, memoryview)
        is_quick = not (self._is_slow or isinstance(piece, FilePiece))
        if is_lent or is_quick:
            self._settle()
        if is_lent or is_quick or self._seen <= _INLINE_BYTES:
            self._digest.update(piece)
            return
        self._batch.append(piece)
        self._batch_bytes += len(piece)
        if self._batch_bytes >= _BATCH_BYTES:
            self._hand_over()

    def _settle(self) -> None:
        """Return when all that came before is hashed."""
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
        """Return the digest of all bytes, in hex; none may follow.

        Raises:
            InvalidArgumentError: a piece of a file could not be read.
        """
        if self._helper is not None:
            self._helper.end()
        for piece in self._batch:
            self._digest.update(piece)
        return self._digest.hexdigest()


class Sha256(Digest):
    """The SHA-256 of pieces."""

    def __init__(self) -> None:
        super().__init__(hashlib.sha256(), is_slow=True)


class Xxh3(Digest):
    """The XXH3 of pieces, of 128 bits."""

    def __init__(self) -> None:
        import xxhash  # noqa: PLC0415 only pushes through a server need it

        super().__init__(xxhash.xxh3_128(), is_slow=False)


class _Digest:
    """A digest that takes pieces where they are read, too."""

    def __init__(self, algorithm: _Algorithm) -> None:
        self._algorithm = algorithm
        self._buffer = bytearray()

    def update(self, piece: _Part) -> None:
        if not isinstance(piece, FilePiece):
            self._algorithm.update(piece)
            return
        self._buffer = self._buffer or bytearray(CHUNK_SIZE)
        for part in piece.read(self._buffer):
            self._algorithm.update(part)

    def hexdigest(self) -> str:
        return self._algorithm.hexdigest()


class _Helper:
    """Hashes batches in their order: in a thread while they come quickly and there is one."""

    def __init__(self, digest: _Digest) -> None:
        self._digest = digest
        self._failure: InvalidArgumentError | None = None
        self._room = threading.Semaphore(_BATCHES)
        self._batches: queue.SimpleQueue[list[_Part] | None] = queue.SimpleQueue()
        self._state = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, batch: list[_Part]) -> None:
        """Hash a batch, here or in the thread."""
        self._room.acquire()
        with self._state:
            if self._thread is not None or self._starts():
                self._batches.put(batch)
                return
        self._hash(batch)

    def settle(self) -> None:
        """Return when all that was taken is hashed, and hash further batches as before."""
        for _ in range(_BATCHES):
            self._room.acquire()
        self._room.release(_BATCHES)

    def end(self) -> None:
        """Return when all that was taken is hashed.

        Raises:
            InvalidArgumentError: some of it could not be read.
        """
        with self._state:
            thread = self._thread
            self._batches.put(None)
        if thread is not None:
            thread.join()
        if self._failure is not None:
            raise self._failure

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

    def _next(self) -> list[_Part] | None:
        """The next batch; None once there is none for now."""
        try:
            return self._batches.get(timeout=_LINGER_SECONDS)
        except queue.Empty:
            with self._state:
                if not self._batches.empty():
                    return self._batches.get()
                self._thread = None
                return None

    def _hash(self, batch: list[_Part]) -> None:
        try:
            for piece in batch:
                self._digest.update(piece)
        except InvalidArgumentError as error:
            self._failure = error
        finally:
            self._room.release()
