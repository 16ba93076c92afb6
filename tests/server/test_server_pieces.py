"""Bodies that come in pieces: gathered with one copy, and in little more memory than their bytes."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from registry_server.process.pieces import Pieces


@pytest.mark.parametrize(
    "sizes", [[], [1], [20_000], [1, 1, 20_000, 1, 20_000, 20_000, 5, 6], [16_384, 16_383] * 4]
)
def test_all_bytes_come_out_in_order(sizes):
    pieces, given = Pieces(), [os.urandom(size) for size in sizes]
    for piece in given:
        pieces += piece
    assert len(pieces) == sum(sizes)
    assert bytes(pieces) == b"".join(given)


def test_large_piece_is_handed_on_as_it_is():
    pieces, given = Pieces(), os.urandom(256_000)
    pieces += given
    assert bytes(pieces) is given


def test_small_pieces_take_no_more_memory_than_their_bytes():
    """A client may send a body byte by byte."""
    pieces, piece = Pieces(), os.urandom(2)
    tracemalloc.start()
    for _ in range(100_000):
        pieces += piece
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * len(pieces)
