"""What a directory can do that other artifact stores cannot: links, pipes, leftovers of crashes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry_core.artifacts.backends.local import LocalArtifactStore, open_artifact_store
from registry_core.errors import (
    ArtifactNotFoundError,
    InvalidArgumentError,
    NotPermittedError,
    StoreUnavailableError,
)
from services.artifacts import read_tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that is not the store's, with a secret in it."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_bytes(b"secret")
    return directory


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifactStore:
    """A store with one file in it."""
    store = LocalArtifactStore(tmp_path / "root")
    store.write("a/f", [b"1"])
    return store


@pytest.fixture
def linked(store: LocalArtifactStore, tmp_path: Path, outside: Path) -> LocalArtifactStore:
    """A store into which somebody put links that lead out of it."""
    (tmp_path / "root/a/out").symlink_to(outside)
    (tmp_path / "root/a/secret").symlink_to(outside / "secret")
    return store


@pytest.mark.parametrize("path", ["a/out/secret", "a/secret", "a/out", "a/out/new"])
def test_links_are_not_followed(linked: LocalArtifactStore, outside: Path, path: str) -> None:
    """By no method: nothing outside is read, written or removed."""
    for call in (
        lambda: linked.stat(path),
        lambda: linked.read(path),
        lambda: linked.list(path),
        lambda: list(linked.walk(path)),
        lambda: linked.write(path, [b"x"]),
        lambda: linked.write(path, [b"x"], overwrite=False),
        lambda: linked.delete(path),
        lambda: linked.remove([path]),
    ):
        with pytest.raises(InvalidArgumentError, match="Invalid path"):
            call()
    assert read_tree(outside) == {"secret": b"secret"}


def test_links_are_in_no_listing(linked: LocalArtifactStore) -> None:
    """They are no artifacts."""
    assert [info.path for info in linked.list("a")] == ["a/f"]
    assert [info.path for info in linked.walk("")] == ["a/f"]


def test_deleting_a_folder_leaves_what_its_links_lead_to(
    linked: LocalArtifactStore, outside: Path, tmp_path: Path
) -> None:
    """The links go, and what they led to stays."""
    linked.delete("a")
    assert not (tmp_path / "root/a").exists()
    assert read_tree(outside) == {"secret": b"secret"}


def test_root_may_itself_be_reached_by_a_link(tmp_path: Path) -> None:
    """The operator's own links are the operator's."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = LocalArtifactStore(tmp_path / "link")
    store.write("a", [b"1"])
    assert read_tree(tmp_path / "real") == {"a": b"1"}
    assert [info.path for info in store.walk("")] == ["a"]


def test_pipe_is_no_file(store: LocalArtifactStore, tmp_path: Path) -> None:
    """And nobody waits for its other end."""
    os.mkfifo(tmp_path / "root/a/pipe")
    with pytest.raises(ArtifactNotFoundError):
        store.read("a/pipe")
    assert [info.path for info in store.walk("")] == ["a/f"]


def test_empty_folders_go_with_their_last_file(store: LocalArtifactStore, tmp_path: Path) -> None:
    """A folder exists while there is a file below it."""
    store.write("a/b/c/d", [b"1"])
    store.remove(["a/b/c/d"])
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [".registry", "a"]
    assert [info.path for info in store.list("a")] == ["a/f"]


def test_what_a_dead_writer_left_is_dropped_when_it_is_old(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    """A partial file is in no listing; a dry run only counts it."""
    partial = tmp_path / "root/.registry/partial"
    for name, modified in (("old", 1_000), ("young", 3_000)):
        (partial / name).write_bytes(b"half")
        os.utime(partial / name, (modified, modified))
    assert [info.path for info in store.walk("")] == ["a/f"]
    assert store.drop_partial(before=2_000_000, dry_run=True) == 1
    assert store.drop_partial(before=2_000_000) == 1
    assert [path.name for path in partial.iterdir()] == ["young"]


def test_root_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """It is made by the first write."""
    store = LocalArtifactStore(tmp_path / "none")
    assert store.list("") == list(store.walk("")) == []
    assert store.drop_partial(before=2**60) == 0
    store.delete("a")
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_no_permission_is_told(store: LocalArtifactStore, tmp_path: Path) -> None:
    """With the path, and not as an answer that is worth repeating."""
    (tmp_path / "root/a").chmod(0)
    with pytest.raises(NotPermittedError, match="a/f"):
        store.read("a/f")


def test_disk_that_fails_is_unavailable(tmp_path: Path) -> None:
    """A full disk, here by a device that always is."""
    (tmp_path / "file").write_bytes(b"")
    store = LocalArtifactStore(tmp_path / "file")
    with pytest.raises((StoreUnavailableError, InvalidArgumentError, ArtifactNotFoundError)):
        store.write("a", [b"1"])


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://{}"])
def test_root_is_a_path_or_a_file_url(tmp_path: Path, form: str) -> None:
    """And is always told as a URL."""
    directory = tmp_path / "with space"
    url = form.format(directory if form == "{}" else str(directory).replace(" ", "%20"))
    assert open_artifact_store(url).root == directory.as_uri()
