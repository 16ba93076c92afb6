"""How many connections each worker has, so that workers share them out evenly."""

from __future__ import annotations

import mmap

_WORKERS_MAX = 256
"""Workers that know of each other. Further ones take what comes."""

_NOBODY = 2**31 - 1
"""Where there is no worker, in place of how many connections it has: no worker has more."""

_BEATS_MAX = 2**31
"""After which beats are counted from 1 again; 0 is a worker that does not serve yet."""

_TOLERANCE = 8
"""A worker takes connections while it has one more than another, and an eighth of its own: those
that are soon over do not matter, and of many that come at once few wait for each other's turn."""


class LoadTable:
    """How many connections each worker has, in memory that is shared with forked processes."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * _WORKERS_MAX)).cast("i")
        beats = memoryview(mmap.mmap(-1, 4 * _WORKERS_MAX)).cast("I")
        self._shares = [WorkerLoad(self._counts, beats, index) for index in range(_WORKERS_MAX)]
        self._free = self._shares[::-1]

    def take(self) -> WorkerLoad:
        """Return the share of one more worker.

        It is for the parent to call, which has one thread.
        """
        if not self._free:
            beats = memoryview(mmap.mmap(-1, 4)).cast("I")
            return WorkerLoad(self._counts, beats, None)
        share = self._free.pop()
        share.begin()
        return share

    def give_back(self, share: WorkerLoad) -> None:
        """Free the share of a worker that has ended."""
        if share in self._shares and share not in self._free:
            share.leave()
            self._free.append(share)


class WorkerLoad:
    """One worker's part."""

    def __init__(self, counts: memoryview[int], beats: memoryview[int], index: int | None) -> None:
        self._counts = counts
        self._beats = beats
        self._index = index
        self.leave()

    def begin(self) -> None:
        """Make the place that of a worker which is not there yet."""
        self.leave()
        self._beats[self._index or 0] = 0

    @property
    def beats(self) -> int:
        """How often the worker's event loop has shown that it goes on."""
        return self._beats[self._index or 0]

    def beat(self) -> None:
        """Show that the worker's event loop goes on."""
        place = self._index or 0
        self._beats[place] = self._beats[place] % _BEATS_MAX + 1

    def publish(self, count: int) -> None:
        """Let the others know how many connections this worker has."""
        if self._index is not None:
            self._counts[self._index] = count

    def leave(self) -> None:
        """Let the others know that this worker takes no connections."""
        self.publish(_NOBODY)

    def is_fair(self, count: int) -> bool:
        """Return whether a worker that has so many may take one more."""
        ahead = count - min(self._counts.tolist())
        return ahead <= 1 + count // _TOLERANCE
