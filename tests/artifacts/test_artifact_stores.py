"""What every artifact store promises: one suite, on a directory, in memory and on a real S3."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from registry_core.artifacts import ArtifactStore, FileInfo
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    InvalidArgumentError,
)
from services.artifacts import all_bytes

LARGE = bytes(range(256)) * (20 * 4096)
"""20 MiB: three parts on S3."""


def pieces(body: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def body_of(artifacts: ArtifactStore, path: str, **options: int) -> bytes:
    with artifacts.read(path, **options) as reading:
        return b"".join(reading)


@pytest.mark.parametrize("body", [b"", b"one", LARGE], ids=["empty", "small", "large"])
def test_what_is_written_is_read_back(artifacts: ArtifactStore, body: bytes) -> None:
    """Byte for byte, and with its size, whatever that is."""
    written = artifacts.write("a/b.bin", pieces(body))
    assert (written.path, written.size) == ("a/b.bin", len(body))
    assert body_of(artifacts, "a/b.bin") == body
    assert artifacts.stat("a/b.bin") == FileInfo(path="a/b.bin", size=len(body))


def test_write_replaces(artifacts: ArtifactStore) -> None:
    """The newer file is there, and nothing of the older one."""
    artifacts.write("a", [b"longer than the other"])
    artifacts.write("a", [b"short"])
    assert body_of(artifacts, "a") == b"short"


def test_write_without_overwriting_has_one_winner(artifacts: ArtifactStore) -> None:
    """Of many writers at a time one wins, and the others are told."""
    outcomes: list[bytes | None] = []

    def write(body: bytes) -> None:
        try:
            artifacts.write("lock", [body], overwrite=False)
            outcomes.append(body)
        except ArtifactExistsError:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [body for body in outcomes if body is not None]
    assert len(outcomes) == 6
    assert winners == [body_of(artifacts, "lock")]


@pytest.mark.parametrize("before", [None, b"what was there"], ids=["new", "existing"])
@pytest.mark.parametrize("size", [3, 20], ids=["small", "large"])
def test_failing_chunks_leave_what_was_there(
    artifacts: ArtifactStore, before: bytes | None, size: int
) -> None:
    """The exception passes as it is; neither a file nor a part of one is left."""
    if before is not None:
        artifacts.write("a/f", [before])

    def broken() -> Iterator[bytes]:
        yield from [b"x" * (1 << 20)] * size
        raise FileNotFoundError("the reader's own")

    with pytest.raises(FileNotFoundError, match="the reader's own"):
        artifacts.write("a/f", broken())
    assert all_bytes(artifacts) == ({} if before is None else {"a/f": before})
    assert artifacts.drop_partial(before=2**60, dry_run=True) == 0


def test_nothing_is_seen_before_the_last_chunk(artifacts: ArtifactStore) -> None:
    """A reader sees the whole new file or what was there before."""
    artifacts.write("f", [b"old"])

    def watching() -> Iterator[bytes]:
        for _ in range(10):
            assert body_of(artifacts, "f") == b"old"
            assert [info.path for info in artifacts.list("")] in (["f"], [".registry", "f"])
            yield b"y" * (1 << 20)

    artifacts.write("f", watching())
    assert body_of(artifacts, "f") == b"y" * (10 << 20)


def test_readers_see_one_file_or_the_other(artifacts: ArtifactStore) -> None:
    """Never a mixture, while writers replace it."""
    bodies = [bytes([n]) * 30_000 for n in range(4)]
    artifacts.write("f", [bodies[0]])
    done = threading.Event()

    def replace() -> None:
        for body in bodies * 3:
            artifacts.write("f", pieces(body, 10_000))
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    seen = set()
    while not done.is_set():
        seen.add(body_of(artifacts, "f"))
    thread.join()
    assert seen <= set(bodies)


def test_list_is_one_level(artifacts: ArtifactStore) -> None:
    """Files and folders directly in a folder, in order; nothing for a file or what is not there."""
    for path in ("d/x", "d/sub/y", "d/sub/deep/z", "dd/x", "e"):
        artifacts.write(path, [b"12"])
    assert artifacts.list("d") == [
        FileInfo(path="d/sub", is_dir=True),
        FileInfo(path="d/x", size=2),
    ]
    assert [info.path for info in artifacts.list("") if info.path != ".registry"] == [
        "d",
        "dd",
        "e",
    ]
    assert artifacts.list("e") == artifacts.list("none") == artifacts.list("d/x/y") == []


def test_walk_is_all_below(artifacts: ArtifactStore) -> None:
    """Every file of a folder, or the file itself; not those of a namesake."""
    for path in ("d/x", "d/sub/y", "d/sub/deep/z", "dd/x", "d.txt"):
        artifacts.write(path, [b"12"])
    assert {info.path for info in artifacts.walk("d")} == {"d/x", "d/sub/y", "d/sub/deep/z"}
    assert [info.path for info in artifacts.walk("d/x")] == ["d/x"]
    assert list(artifacts.walk("none")) == []
    assert all(info.size == 2 for info in artifacts.walk(""))


def test_listings_and_stat_tell_when_a_file_was_written(artifacts: ArtifactStore) -> None:
    """By one clock, so that ages can be compared; never less for what was written later."""
    artifacts.write("a", [b"1"])
    artifacts.write("b", [b"2"])
    times = [artifacts.stat(path).modified for path in "ab"]
    assert times == sorted(times)
    assert [info.modified for info in artifacts.walk("") if info.path in "ab"] == times
    assert times[0] > 1_600_000_000_000


@pytest.mark.parametrize("path", ["none", "d", "d/x/y"])
def test_what_is_no_file_is_not_found(artifacts: ArtifactStore, path: str) -> None:
    """Neither a folder nor what lies below a file."""
    artifacts.write("d/x", [b"1"])
    with pytest.raises(ArtifactNotFoundError):
        artifacts.stat(path)
    with pytest.raises(ArtifactNotFoundError):
        artifacts.read(path)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 4, b"0123"),
        (4, 6, b"45"),
        (8, 99, b"89"),
        (9, None, b"9"),
        (3, 3, b""),
        (10, None, b""),
        (50, 60, b""),
    ],
)
def test_read_gives_a_range(
    artifacts: ArtifactStore, start: int, stop: int | None, expected: bytes
) -> None:
    """From `start` up to `stop` or the end, and the size of the whole file."""
    artifacts.write("f", [b"0123456789"])
    with artifacts.read("f", start=start, stop=stop) as reading:
        assert b"".join(reading) == expected
        assert reading.info.size == 10


def test_read_of_an_empty_file_is_empty(artifacts: ArtifactStore) -> None:
    """Also a range of it."""
    artifacts.write("f", [])
    assert body_of(artifacts, "f") == body_of(artifacts, "f", start=0, stop=5) == b""


def test_reading_may_be_left_at_any_time(artifacts: ArtifactStore) -> None:
    """Before the first piece, in the middle, or twice; nothing stays open."""
    artifacts.write("f", pieces(LARGE))
    for taken in range(3):
        reading = artifacts.read("f")
        for _ in range(taken):
            next(reading)
        reading.close()
        reading.close()
        del reading
    gc.collect()  # an open file would warn, which fails the test
    assert body_of(artifacts, "f") == LARGE


def test_delete_removes_a_file_or_a_tree(artifacts: ArtifactStore) -> None:
    """And no namesake; what is absent, or below a file, is no error."""
    for path in ("d/x", "d/sub/y", "dd/x", "d.txt"):
        artifacts.write(path, [b"1"])
    artifacts.delete("d/sub/none")
    artifacts.delete("d/x/below")
    artifacts.delete("none/at/all")
    assert set(all_bytes(artifacts)) == {"d/x", "d/sub/y", "dd/x", "d.txt"}
    artifacts.delete("d/x")
    assert set(all_bytes(artifacts)) == {"d/sub/y", "dd/x", "d.txt"}
    artifacts.delete("d")
    assert set(all_bytes(artifacts)) == {"dd/x", "d.txt"}
    artifacts.write("d", [b"a file now"])
    assert body_of(artifacts, "d") == b"a file now"


def test_remove_takes_many_files(artifacts: ArtifactStore) -> None:
    """Exactly those; what is absent is no error."""
    paths = [f"m/{n} é?;+~%.txt" for n in range(12)]
    for path in [*paths, "m/other"]:
        artifacts.write(path, [b"1"])
    artifacts.remove([*paths, "absent", "m/absent"])
    assert set(all_bytes(artifacts)) == {"m/other"}
    artifacts.remove([])


@pytest.mark.parametrize(
    "path",
    [
        "a b/c d",
        "ümläut/日本語",
        "q?x=1",
        "a;b",
        "a+b&c=d",
        "100%",
        "~user",
        "'\"",
        "a..b",
        "...x",
        "-",
        "x" * 255,
    ],
)
def test_odd_names_are_names(artifacts: ArtifactStore, path: str) -> None:
    """Whatever `artifact_path` lets pass, is a file of its own."""
    artifacts.write(path, [path.encode()])
    assert all_bytes(artifacts) == {path: path.encode()}
    assert path in [info.path for info in artifacts.list(path.rpartition("/")[0])]
    artifacts.delete(path)
    assert all_bytes(artifacts) == {}


def test_many_writers_do_not_meet(artifacts: ArtifactStore) -> None:
    """Files written at the same time, in folders that come and go, are all whole."""

    def write(number: int) -> None:
        for turn in range(4):
            artifacts.write(f"d{turn}/f{number}", [b"%d" % number] * 10)
            artifacts.delete(f"d{turn}/f{number}")
            artifacts.write(f"kept/{turn}/f{number}", [b"%d" % number] * 10)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all_bytes(artifacts) == {
        f"kept/{turn}/f{number}": b"%d" % number * 10 for turn in range(4) for number in range(4)
    }


def test_file_and_folder_do_not_share_a_path(artifacts: ArtifactStore) -> None:
    """Where the backend cannot have both, the write is refused and nothing is lost."""
    artifacts.write("a/b", [b"file"])
    for path in ("a", "a/b/c"):
        try:
            artifacts.write(path, [b"other"])
        except InvalidArgumentError:
            assert artifacts.stat("a/b").size == 4
        else:
            # A bucket knows no folders.
            assert artifacts.root.startswith("s3:")
    assert body_of(artifacts, "a/b") == b"file"


def test_reading_ends_where_the_file_did_when_it_was_opened(tmp_path):
    """Its length has been told by then, and somebody may write to the disk."""
    store = LocalArtifactStore(tmp_path)
    store.write("f", [b"0123456789"])
    with store.read("f") as pieces, (tmp_path / "f").open("ab") as grown:
        grown.write(b"more")
        grown.flush()
        assert b"".join(pieces) == b"0123456789"
    with store.read("f", start=2, stop=100) as pieces:
        assert b"".join(pieces) == b"23456789more"
    with store.read("f", start=50) as pieces:
        assert b"".join(pieces) == b""
