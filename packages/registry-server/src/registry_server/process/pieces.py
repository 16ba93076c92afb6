"""Bytes that come in pieces, and are copied once."""

from __future__ import annotations

from typing import Self

_LARGE_BYTES = 16 * 1024
"""Of a piece that is kept as it came. Smaller ones are put together: each for itself would take
more memory than its bytes."""


class Pieces:
    """Takes pieces and gives all bytes, as a `bytearray` does, and copies them only then.

    A single large piece is not copied at all.
    """

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._size = 0

    def __iadd__(self, piece: bytes) -> Self:
        last = self._pieces[-1] if self._pieces else b""
        if len(piece) >= _LARGE_BYTES:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))
        self._size += len(piece)
        return self

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)
