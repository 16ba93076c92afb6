"""Digests that are computed beside what moves the bytes."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest
import xxhash

from registry_core.artifacts import digests
from registry_core.artifacts.digests import Sha256, Xxh3
from registry_core.artifacts.open_files import PIECE_BYTES
from registry_core.artifacts.trees import open_tree
from registry_core.errors import InvalidArgumentError

ALGORITHMS = pytest.mark.parametrize(
    ("kind", "reference"), [(Sha256, hashlib.sha256), (Xxh3, xxhash.xxh3_128)]
)

MIB = 1024 * 1024
SECONDS = 60.0


def beside() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "digest"]


def wait_until_none_is_beside() -> None:
    end = time.monotonic() + SECONDS
    while beside():
        assert time.monotonic() < end, "a thread stays"
        time.sleep(0.01)


def pieces(size: int, count: int) -> list[bytes]:
    """Pieces that all differ, so that their order counts."""
    return [number.to_bytes(8, "big") + os.urandom(size - 8) for number in range(count)]


@pytest.mark.parametrize(
    ("size", "count"), [(8, 0), (8, 3), (1000, 5000), (MIB, 1), (MIB, 9), (300_000, 40)]
)
@ALGORITHMS
def test_digest_is_that_of_all_pieces_in_order(kind, reference, size, count):
    digest, expected = kind(), reference()
    for piece in pieces(size, count):
        digest.update(piece)
        expected.update(piece)
    assert digest.hexdigest() == expected.hexdigest()
    wait_until_none_is_beside()


def test_quick_digest_has_a_thread_only_where_it_reads(tmp_path):
    """Pieces of a file, and bytes between them, in their order."""
    (tmp_path / "f").write_bytes(body := os.urandom(3 * PIECE_BYTES + 5))
    with open_tree(tmp_path) as tree:
        (file,) = tree.manifest.files
        digest, expected = Xxh3(), xxhash.xxh3_128()
        for piece in pieces(MIB, 5):
            digest.update(piece)
            expected.update(piece)
        assert not beside()
        for _ in range(2):
            for piece in tree.read_rest(file, 0):
                digest.update(piece)
            assert beside()
            expected.update(body)
            digest.update(b"between")
            expected.update(b"between")
    assert digest.hexdigest() == expected.hexdigest()
    wait_until_none_is_beside()


@pytest.mark.parametrize("own", [0, 10, 2 * MIB])
@ALGORITHMS
def test_bytes_that_are_lent_are_hashed_before_they_are_taken_back(kind, reference, own):
    """In their order, also behind some that are not lent."""
    digest, expected, lent = kind(), reference(), bytearray(300_000)
    for number in range(30):
        for piece in pieces(own, 1) if own else []:
            digest.update(piece)
            expected.update(piece)
        lent[:] = number.to_bytes(4, "big") * (len(lent) // 4)
        expected.update(lent)
        digest.update(memoryview(lent))
    lent[:] = bytes(len(lent))
    assert digest.hexdigest() == expected.hexdigest()
    wait_until_none_is_beside()


@pytest.fixture
def weights(tmp_path):
    """A file of some pieces, the last of which is smaller."""
    path = tmp_path / "model" / "weights"
    path.parent.mkdir()
    path.write_bytes(os.urandom(12 * PIECE_BYTES + 5))
    return path


@pytest.mark.parametrize("room", [0, 1])
def test_pieces_of_a_file_are_read_for_it(weights, monkeypatch, room):
    monkeypatch.setattr(digests, "_threads", threading.Semaphore(room))
    digest = Sha256()
    with open_tree(weights.parent) as tree:
        (file,) = tree.manifest.files
        for piece in tree.read_rest(file, 0):
            digest.update(piece[:1000])
            digest.update(piece[1000:])
    assert digest.hexdigest() == file.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    wait_until_none_is_beside()


@pytest.mark.parametrize("room", [0, 1])
def test_pieces_that_cannot_be_read_make_no_digest(weights, monkeypatch, room):
    """Nobody waits for what will never be hashed."""
    monkeypatch.setattr(digests, "_threads", threading.Semaphore(room))
    digest = Sha256()
    with open_tree(weights.parent) as tree:
        for piece in tree.read_rest(tree.manifest.files[0], 0):
            if piece.start == 2 * PIECE_BYTES:
                os.truncate(weights, piece.start + 1)
            if piece.start == 11 * PIECE_BYTES:
                os.truncate(weights, tree.manifest.size)
            digest.update(piece)
    with pytest.raises(InvalidArgumentError, match="'weights' changed while it was uploaded"):
        digest.hexdigest()
    wait_until_none_is_beside()


def test_short_file_has_no_thread():
    digest = Sha256()
    digest.update(bytes(MIB))
    assert not beside()
    assert digest.hexdigest() == hashlib.sha256(bytes(MIB)).hexdigest()


def test_file_that_waits_has_no_thread_and_goes_on():
    digest, expected = Sha256(), hashlib.sha256()
    for _ in range(3):
        for piece in pieces(MIB, 5):
            digest.update(piece)
            expected.update(piece)
        wait_until_none_is_beside()
    assert digest.hexdigest() == expected.hexdigest()


def test_file_that_nobody_reads_to_its_end_leaves_no_thread():
    digest = Sha256()
    for piece in pieces(MIB, 5):
        digest.update(piece)
    assert beside()
    del digest
    wait_until_none_is_beside()


@pytest.mark.parametrize("room", [0, 1])
def test_digests_without_a_thread_are_right_too(monkeypatch, room):
    """There are as many threads as cores, for however many files."""
    monkeypatch.setattr(digests, "_threads", threading.Semaphore(room))
    given = [(Sha256(), hashlib.sha256()) for _ in range(4)]
    for _ in range(8):
        for digest, expected in given:
            piece = os.urandom(MIB)
            digest.update(piece)
            expected.update(piece)
            assert len(beside()) <= room
    for digest, expected in given:
        assert digest.hexdigest() == expected.hexdigest()
    wait_until_none_is_beside()


def test_system_without_threads_hashes_all_the_same(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(digests, "_threads", free := threading.BoundedSemaphore(1))
    digest, expected = Sha256(), hashlib.sha256()
    for piece in pieces(MIB, 5):
        digest.update(piece)
        expected.update(piece)
    assert digest.hexdigest() == expected.hexdigest()
    assert free.acquire(blocking=False)


def test_little_waits_to_be_hashed(monkeypatch):
    """Who gives bytes faster than they are hashed waits: memory stays as it is."""
    may_go_on, held = threading.Event(), []
    hash_batch = digests._Helper._hash

    def slowly(self: digests._Helper, batch: list[bytes]) -> None:
        assert may_go_on.wait(SECONDS)
        hash_batch(self, batch)

    monkeypatch.setattr(digests._Helper, "_hash", slowly)
    digest = Sha256()

    def give() -> None:
        for piece in pieces(MIB, 20):
            digest.update(piece)
            held.append(piece)

    giver = threading.Thread(target=give)
    giver.start()
    end = time.monotonic() + SECONDS
    while len(held) < 1 + digests._BATCHES:
        assert time.monotonic() < end
        time.sleep(0.01)
    giver.join(0.2)
    assert giver.is_alive()
    assert len(held) == 1 + digests._BATCHES
    may_go_on.set()
    giver.join()
    assert digest.hexdigest() == hashlib.sha256(b"".join(held)).hexdigest()
