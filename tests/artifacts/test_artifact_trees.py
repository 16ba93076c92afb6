"""Directories that are pushed: what may be in one, and that nothing else is read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from registry_core.artifacts.open_files import FilePiece
from registry_core.artifacts.trees import open_tree
from registry_core.errors import InvalidArgumentError
from services.artifacts import MODEL, write_tree


def paths(source: Path, **options: Path) -> list[str]:
    with open_tree(source, **options) as tree:
        return [file.path for file in tree.manifest.files]


def test_tree_has_the_files_with_their_bytes(model: Path) -> None:
    """By their paths below the directory."""
    with open_tree(model) as tree:
        found = {file.path: b"".join(tree.read(file)) for file in tree.manifest.files}
        assert found == MODEL
        assert {file.path: file.size for file in tree.manifest.files} == {
            path: len(body) for path, body in MODEL.items()
        }


def test_one_file_is_a_tree(model: Path) -> None:
    """Under its own name."""
    assert paths(model / "data/weights.bin") == ["weights.bin"]


def test_directory_may_be_reached_by_a_link(model: Path, tmp_path: Path) -> None:
    """What the user names is the user's business; what is inside is not."""
    (tmp_path / "link").symlink_to(model)
    assert paths(tmp_path / "link") == sorted(MODEL)
    assert paths(tmp_path / "link/../model") == sorted(MODEL)


def test_working_directory_is_a_tree(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its shortest name."""
    monkeypatch.chdir(model)
    assert paths(Path()) == sorted(MODEL)
    assert paths(Path("data/..")) == sorted(MODEL)


def link_to_file(model: Path) -> None:
    (model / "link").symlink_to("/etc/hostname")


def link_to_folder(model: Path) -> None:
    (model / "data/link").symlink_to("/etc")


def link_inside(model: Path) -> None:
    (model / "link").symlink_to("MLmodel")


def dangling_link(model: Path) -> None:
    (model / "link").symlink_to("nowhere")


def loop(model: Path) -> None:
    (model / "loop").symlink_to(".")


def pipe(model: Path) -> None:
    os.mkfifo(model / "pipe")


def backslash(model: Path) -> None:
    (model / "a\\b").write_bytes(b"")


def newline(model: Path) -> None:
    (model / "a\nb").write_bytes(b"")


def escape(model: Path) -> None:
    (model / "a%2fb").write_bytes(b"")


def drive(model: Path) -> None:
    (model / "data/c:x").write_bytes(b"")


def no_utf8(model: Path) -> None:
    Path(os.fsdecode(os.fsencode(model) + b"/a\xff")).write_bytes(b"")


def same_when_composed(model: Path) -> None:
    (model / "e\u0301").write_bytes(b"1")
    (model / "\u00e9").write_bytes(b"2")


def nothing(model: Path) -> None:
    for path in sorted(model.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "spoil",
    [link_to_file, link_to_folder, link_inside, dangling_link, loop, pipe, backslash, newline,
     escape, drive, no_utf8, same_when_composed, nothing],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused(model: Path, spoil: Callable[[Path], None]) -> None:
    """Nothing is skipped in silence, and no link is followed."""
    spoil(model)
    with pytest.raises(InvalidArgumentError):
        paths(model)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(dangling_link, "'link' is a link that leads nowhere"), (pipe, "'pipe' is a pipe"),
     (loop, "'loop' is a link to a folder that it lies in"), (escape, "'a%2fb' cannot"),
     (newline, "control character"), (no_utf8, "is not UTF-8"), (drive, "'data/c:x' cannot")],
)  # fmt: skip
def test_what_cannot_be_a_file_is_named(
    model: Path, spoil: Callable[[Path], None], told: str
) -> None:
    """With the reason, also where links are followed."""
    spoil(model)
    with pytest.raises(InvalidArgumentError, match=told), open_tree(model, follow_links=True):
        pass


def test_links_are_followed_where_they_are_the_users(model: Path, tmp_path: Path) -> None:
    """To files and folders; those that lead out are counted, and a folder is met more than once."""
    outside = write_tree(tmp_path / "blobs", {"abc": b"weights", "more/x": b"x"})
    (model / "weights").symlink_to("../blobs/abc")
    (model / "more").symlink_to(outside / "more")
    (model / "again").symlink_to("data")
    with open_tree(model, follow_links=True) as tree:
        found = {file.path: b"".join(tree.read(file)) for file in tree.manifest.files}
        assert tree.links_out == 2
    again = {path.replace("data", "again"): body for path, body in MODEL.items() if "data" in path}
    assert found == {**MODEL, **again, "weights": b"weights", "more/x": b"x"}


def test_circle_of_links_is_refused(model: Path) -> None:
    """Named by where it was met."""
    (model / "one").symlink_to("two")
    (model / "two").symlink_to("one")
    with pytest.raises(InvalidArgumentError, match=r"'(one|two)' is a link that leads nowhere"):
        open_tree(model, follow_links=True).__enter__()


def test_link_to_one_file_has_its_own_name(model: Path) -> None:
    """A blob's name says nothing."""
    (model / "named").symlink_to("MLmodel")
    with open_tree(model / "named", follow_links=True) as tree:
        assert [file.path for file in tree.manifest.files] == ["named"]


@pytest.mark.parametrize("name", ["none", "MLmodel/below"])
def test_what_is_not_there_is_refused(model: Path, name: str) -> None:
    """With its name."""
    with pytest.raises(InvalidArgumentError, match=name):
        paths(model / name)


def test_names_are_composed(tmp_path: Path) -> None:
    """A name that a disk keeps decomposed means the same file everywhere."""
    tree = write_tree(tmp_path / "m", {"e\u0301/a": b"1"})
    with open_tree(tree) as found:
        assert [file.path for file in found.manifest.files] == ["\u00e9/a"]
        assert b"".join(found.read(found.manifest.files[0])) == b"1"


def test_file_that_changes_meanwhile_is_noticed(model: Path) -> None:
    """At the end of its bytes, so before anything of it is kept."""
    with open_tree(model) as tree:
        (model / "MLmodel").write_bytes(b"other bytes")
        file = tree.manifest.files[0]
        assert file.path == "MLmodel"
        with pytest.raises(InvalidArgumentError, match="'MLmodel' changed while"):
            list(tree.read(file))


def test_file_that_goes_meanwhile_is_noticed(model: Path) -> None:
    """As what it is: a directory that somebody else is at work on."""
    with open_tree(model) as tree:
        (model / "MLmodel").unlink()
        with pytest.raises(InvalidArgumentError, match="cannot be read"):
            list(tree.read(tree.manifest.files[0]))


# A directory that somebody else's sources may lie in


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A directory with a model in it, and a secret beside it."""
    write_tree(tmp_path / "allowed/team/model")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "allowed"


def test_tree_lies_within(allowed: Path, tmp_path: Path) -> None:
    """By its own path, or by a link of the operator's."""
    (tmp_path / "alias").symlink_to(allowed)
    assert paths(allowed / "team/model", within=allowed) == sorted(MODEL)
    assert paths(allowed / "team/model", within=tmp_path / "alias") == sorted(MODEL)
    assert paths(tmp_path / "alias/team/model", within=tmp_path / "alias") == sorted(MODEL)
    assert paths(allowed / "team/model/MLmodel", within=allowed) == ["MLmodel"]


@pytest.mark.parametrize(
    "source", ["../secret", "team/../../secret", "out/secret", "out", "team/file"]
)
def test_nothing_leads_out(allowed: Path, tmp_path: Path, source: str) -> None:
    """Neither dots nor links, wherever they are on the way."""
    (allowed / "out").symlink_to(tmp_path)
    (allowed / "team/file").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidArgumentError):
        paths(allowed / source, within=allowed)


def test_other_directories_are_refused(allowed: Path, tmp_path: Path) -> None:
    """A namesake with a longer name, too."""
    (tmp_path / "allowed-not").mkdir()
    for source in (tmp_path, tmp_path / "allowed-not", Path("/etc")):
        with pytest.raises(InvalidArgumentError, match="is not in"):
            paths(source, within=allowed)


def test_folder_that_becomes_a_link_leads_nowhere(allowed: Path, tmp_path: Path) -> None:
    """Also after the directory was looked at: what is read is what was there, or nothing."""
    with open_tree(allowed / "team/model", within=allowed) as tree:
        (allowed / "team").rename(allowed / "moved")
        (allowed / "team").symlink_to(
            write_tree(tmp_path / "evil/model", {"MLmodel": b"evil"}).parent
        )
        with pytest.raises(InvalidArgumentError):
            list(tree.read(tree.manifest.files[0]))


@pytest.mark.parametrize("start", [0, 7, 10])
def test_rest_of_a_file_is_read_from_its_middle(tmp_path, start):
    source = write_tree(tmp_path / "model", {"log": b"0123456789"})
    with open_tree(source) as tree:
        (file,) = tree.manifest.files
        assert read(tree.read_rest(file, start)) == b"0123456789"[start:]


def read(pieces: Iterable[FilePiece]) -> bytes:
    return b"".join(bytes(part) for piece in pieces for part in piece.read(bytearray(4)))


@pytest.mark.parametrize("size", [5, 9, 11, 2**40])
def test_rest_of_a_file_of_another_size_is_given_up(tmp_path, size):
    """A request says how long its body is: what is sent is never longer, and a shorter one ends."""
    source = write_tree(tmp_path / "model", {"log": b"0123456789"})
    with open_tree(source) as tree:
        (file,) = tree.manifest.files
        os.truncate(source / "log", size)
        taken: list[FilePiece] = []
        with pytest.raises(InvalidArgumentError, match="'log' changed while it was uploaded"):
            taken.extend(tree.read_rest(file, 7))
        assert sum(map(len, taken)) <= 3


def test_piece_of_a_file_that_became_shorter_is_not_read(tmp_path):
    source = write_tree(tmp_path / "model", {"log": b"0123456789"})
    with open_tree(source) as tree:
        (piece,) = tree.read_rest(tree.manifest.files[0], 1)
        os.truncate(source / "log", 7)
        parts = piece.read(bytearray(4))
        assert [bytes(next(parts)), bytes(next(parts))] == [b"1234", b"56"]
        with pytest.raises(InvalidArgumentError, match="'log' changed while it was uploaded"):
            next(parts)


def test_piece_has_the_parts_that_its_bytes_have(tmp_path):
    content = b"0123456789"
    with open_tree(write_tree(tmp_path / "model", {"log": content})) as tree:
        (piece,) = tree.read_rest(tree.manifest.files[0], 0)
    cuts = [None, *range(-12, 13)]
    for first, last in itertools.product(cuts, cuts):
        part, expected = piece[first:last], content[first:last]
        assert (read([part]), len(part), bool(part)) == (expected, len(expected), bool(expected))
        assert read([part[1:]]) == expected[1:]


def test_file_stays_open_as_long_as_a_piece_of_it_is_there(tmp_path):
    """Also when the tree is closed, and there is no such file any more."""
    source = write_tree(tmp_path / "model", {"log": b"0123456789"})
    with open_tree(source) as tree:
        pieces = [*tree.read_rest(tree.manifest.files[0], 0)]
    (source / "log").unlink()
    descriptor = pieces[0].opened.descriptor
    assert read(pieces) == b"0123456789"
    pieces.clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_pipe_that_comes_in_the_place_of_a_file_is_not_read(tmp_path):
    source = write_tree(tmp_path / "model", {"log": b"0123456789"})
    with open_tree(source) as tree:
        (source / "log").unlink()
        os.mkfifo(source / "log")
        with pytest.raises(InvalidArgumentError, match="'model/log' is no file"):
            list(tree.read_rest(tree.manifest.files[0], 0))


def test_file_that_grows_meanwhile_is_given_up(tmp_path):
    """It might do so for ever: what is uploaded is at most what was there."""
    source = write_tree(tmp_path / "model", {"log": b"x" * 10})
    with open_tree(source) as tree:
        (file,) = tree.manifest.files
        with (source / "log").open("ab") as log:
            log.truncate(2**40)
        taken: list[bytes] = []
        with pytest.raises(InvalidArgumentError, match="'log' changed while it was uploaded"):
            taken.extend(tree.read(file))
        assert len(b"".join(taken)) <= file.size


def test_file_that_grows_while_it_is_hashed_has_an_end(tmp_path, monkeypatch):
    """No more than one byte past what it had when it was opened is read."""
    source = write_tree(tmp_path / "model", {"log": b"x" * 10})
    read = os.read

    def read_and_grow(descriptor, size):
        with (source / "log").open("ab") as log:
            log.write(b"y" * 100)
        return read(descriptor, size)

    monkeypatch.setattr("registry_core.artifacts.trees.os.read", read_and_grow)
    with open_tree(source) as tree:
        assert tree.manifest.size == 11
