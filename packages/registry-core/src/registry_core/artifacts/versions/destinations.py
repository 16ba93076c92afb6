"""The directory that a pull writes to: what may be there, and files that are not complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry_core.artifacts.trees import require_posix
from registry_core.errors import InvalidArgumentError

_PARTIAL = ".registry-partial-"
"""How the folder in a destination is called where a pull keeps files that are not complete."""


@contextmanager
def unfinished_in(destination: Path, expected: Collection[str]) -> Iterator[Path]:
    """Make a folder in the destination for files that are not complete; `expected` will come.

    Strategy: it is locked while its pull lives, so that a later one removes what dead ones left,
    and only that.

    Raises:
        InvalidArgumentError: there is something in the destination that is not the version's.
    """
    require_posix()
    try:
        destination.mkdir(parents=True, exist_ok=True)
        _check_destination(destination, expected)
        partial, lock = _locked_folder(destination)
    except OSError as error:
        raise InvalidArgumentError(f"cannot write to '{destination}': {error.strerror}") from None
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _locked_folder(destination: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that locks it until it is closed."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=destination))
        lock = _lock(partial)
        # Before it was locked, another pull may have taken it for a dead one's.
        if lock is not None:
            if partial.exists():
                return partial, lock
            os.close(lock)


def _check_destination(destination: Path, expected: Collection[str]) -> None:
    for folder, _, names in os.walk(destination):
        inner = Path(folder).relative_to(destination)
        if inner.parts and inner.parts[0].startswith(_PARTIAL):
            _drop_dead(destination / inner.parts[0])
            continue
        for name in names:
            if (inner / name).as_posix() not in expected:
                raise InvalidArgumentError(
                    f"'{destination}' holds '{inner / name}', which is not part of the version: "
                    "name an empty directory"
                )


def _drop_dead(partial: Path) -> None:
    lock = _lock(partial)
    if lock is not None:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that locks a folder; None if another has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        import fcntl  # noqa: PLC0415 there is none on Windows, where all but files works

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def place_of(destination: Path, path: str) -> Path:
    """Return where a file belongs below the destination; its folder is made.

    Raises:
        InvalidArgumentError: a link in the destination leads out of it.
    """
    target = destination / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError(f"cannot write '{target}': {error.strerror}") from None
    if not target.parent.resolve().is_relative_to(destination.resolve()) or target.is_symlink():
        raise InvalidArgumentError(f"'{target}' leads out of '{destination}' by a link")
    return target
