"""Whole registries move with the files of their versions."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import Registry, open_registry
from registry_core.backends import open_artifacts
from registry_core.moves.artifacts import open_mover
from registry_core.moves.copying import copy
from registry_core.moves.sources import StoreSource
from services import forking
from services.artifacts import MODEL, artifact_url, read_tree, write_tree
from services.stores import store_url


@attrs.frozen
class Origin:
    """A registry to copy: its URL, and where its foreign files are."""

    url: str
    place: str
    regctl: Regctl


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """Pushed, foreign and copied versions, one whose files are gone, and one that was deleted."""
    monkeypatch.delenv("REGISTRY_ARTIFACTS", raising=False)
    (tmp_path / "source").mkdir()
    url = f"sqlite:///{tmp_path}/source/registry.db"
    place = f"memory://{uuid.uuid4().hex}"
    outside = open_artifacts(place)
    for path, body in MODEL.items():
        outside.write(f"run/model/{path}", [body])
    with open_registry(url) as registry:
        for name in ("pushed", "foreign"):
            registry.create_registered_model(name)
        for number in range(3):
            files = write_tree(tmp_path / f"model{number}", {"a/b": b"%d" % number * 1000})
            registry.push_model_version("pushed", files)
        registry.delete_model_version("pushed", 2)
        registry.create_model_version("foreign", source=f"{place}/run/model")
        registry.create_model_version("foreign", source=f"{place}/nothing/here")
        registry.create_model_version("foreign", source="models:/pushed/1")
        registry.set_registered_model_alias("foreign", "champion", 3)
    return Origin(url, place, Regctl(url))


def check(target: Registry, tmp_path: Path) -> None:
    """The copy has all the files that could be read, sealed, and whole histories."""
    for name, version in (("pushed", 1), ("pushed", 3), ("foreign", 1), ("foreign", 3)):
        pulled = tmp_path / uuid.uuid4().hex
        target.pull_model_version(name, version, pulled, require_sealed=True)
        assert read_tree(pulled)
        assert target.verify_history(name).is_true
    assert target.get_model_version("foreign", 3).source == "models:/pushed/1"
    assert target.fsck().clean
    garbage = target.files.collect_garbage(grace_seconds=0, dry_run=True)
    assert garbage.folders == ()


@pytest.mark.parametrize("kind", ["postgresql", "s3"])
def test_files_come_along(
    kind: str, origin: Origin, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with store_url(kind, request) as target_url:
        root = artifact_url("s3", request)
        command = ("copy", "--artifacts", "--target-root", root, origin.url, target_url)
        would = origin.regctl.run(*command, "--dry-run")
        assert "the files of 5 versions" in would.stderr, would.stderr
        done = origin.regctl.run(*command)
        assert done.exit_code == ExitCode.INCOMPLETE, done.stderr
        assert "2 copied" in done.stderr
        assert "files not copied: models:/foreign/2" in done.stderr
        assert "the files of 4 versions" in done.stderr
        with open_registry(target_url, artifacts=root) as target:
            check(target, tmp_path)
        again = origin.regctl.run(*command)
        assert "2 unchanged" in again.stderr, again.stderr
        # What could not be read can be by now, and the source has gone on.
        outside = open_artifacts(origin.place)
        outside.write("nothing/here/MLmodel", [b"x"])
        with open_registry(origin.url) as source:
            source.push_model_version("pushed", write_tree(tmp_path / "model9", {"n": b"9"}))
            source.update_model_version("pushed", 1, description="read again, and not sent")
        done = origin.regctl.run(*command)
        assert (done.exit_code, "2 updated" in done.stderr) == (0, True), done.stderr
        with open_registry(target_url, artifacts=root) as target:
            check(target, tmp_path)
            assert target.verify_model_version("foreign", 2).size == 1
            assert target.verify_model_version("pushed", 4).size == 1
            assert target.get_model_version("pushed", 1).description


def test_files_that_are_not_as_they_were_registered_are_not_copied(
    origin: Origin, tmp_path: Path
) -> None:
    with open_registry(origin.url) as source:
        path = Path(source.get_model_version("pushed", 3).source.removeprefix("file://"))
    (path / "a/b").write_bytes(b"0" * 1000)
    target_url = f"sqlite:///{tmp_path}/target.db"
    done = origin.regctl.run("copy", "--artifacts", origin.url, target_url)
    assert done.exit_code == ExitCode.INCOMPLETE
    assert "files not copied: models:/pushed/3" in done.stderr
    with open_registry(target_url) as target:
        assert target.verify_model_version("pushed", 1).size == 1000
        assert target.get_model_version("pushed", 3).source == path.as_uri()


def test_files_follow_a_copy_without_them(origin: Origin, tmp_path: Path) -> None:
    target_url = f"sqlite:///{tmp_path}/target.db"
    assert origin.regctl.run("copy", origin.url, target_url).exit_code == 0
    done = origin.regctl.run("copy", "--artifacts", origin.url, target_url)
    assert "2 updated" in done.stderr, done.stderr
    with open_registry(target_url) as target:
        check(target, tmp_path)


def test_a_path_of_this_machine_is_copied_if_the_user_says_so(
    origin: Origin, tmp_path: Path
) -> None:
    """A source is somebody else's text: it publishes no file of who copies."""
    secret = write_tree(tmp_path / "home", {"MLmodel": b"of this machine"})
    with open_registry(origin.url, artifacts="none") as source:
        source.delete_registered_model("foreign")
        source.create_registered_model("local")
        source.create_model_version("local", source=secret.as_uri())
    target_url = f"sqlite:///{tmp_path}/target.db"
    done = origin.regctl.run("copy", "--artifacts", origin.url, target_url)
    assert done.exit_code == ExitCode.INCOMPLETE
    assert "files not copied: models:/local/1" in done.stderr
    assert "--local-files" in done.stderr
    with open_registry(target_url) as target:
        assert target.get_model_version("local", 1).source == secret.as_uri()
    assert origin.regctl.run(
        "copy", "--artifacts", "--local-files", origin.url, target_url
    ).exit_code == 0  # fmt: skip
    with open_registry(target_url) as target:
        assert target.verify_model_version("local", 1).size == len(b"of this machine")


def test_a_target_without_a_root_takes_no_files(origin: Origin) -> None:
    done = origin.regctl.run("copy", "--artifacts", origin.url, "memory:")
    assert (done.exit_code, "--target-root" in done.stderr) == (ExitCode.USAGE, True)


def test_a_collection_leaves_files_whose_model_is_still_to_be_written(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = Registry.restore

    def after_collecting(registry: Registry, *arguments: object, **named: object) -> object:
        registry.files.collect_garbage(grace_seconds=0, dry_run=False)
        return restore(registry, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "restore", after_collecting)
    with open_registry(f"sqlite:///{tmp_path}/target.db") as target:
        mover, close = open_mover(origin.url, target)
        with open_registry(origin.url) as source:
            # One after the other: a collection takes what another model has brought already.
            for name in ("pushed", "foreign"):
                found = [*copy(StoreSource(source.store), target, filter_text=f"name = '{name}'",
                               mover=mover)]  # fmt: skip
                assert found[0].outcome.is_written
        close()
        check(target, tmp_path)


KILLED = """
import os, sys
from registry_cli.main import regctl
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.stores.sql.store import SqlStore

left = int(sys.argv.pop(1))

def dying(method):
    def call(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return method(*arguments, **named)
    return call

for name in ("writer", "write", "remove", "stat"):
    setattr(LocalArtifactStore, name, dying(getattr(LocalArtifactStore, name)))
SqlStore.apply = dying(SqlStore.apply)
regctl()
"""


def killed_copies(origin: Origin, target_url: str, steps: Iterator[int]) -> None:
    """Copy with files, killed after so many steps each, until one comes to its end."""
    for count in steps:
        ended = forking.run(
            *(forking.CODE, KILLED, str(count)),
            *("copy", "--artifacts", origin.url, target_url),
            environment={"REGISTRY_ARTIFACTS": ""},
            seconds=120,
        )
        assert ended.returncode in (-9, 0, ExitCode.INCOMPLETE), ended.stderr
        if ended.returncode != -9:
            return
    raise AssertionError("no copy came to its end")


def test_a_copy_with_files_that_is_killed_goes_on(origin: Origin, tmp_path: Path) -> None:
    is_whole_after_kills(origin, tmp_path, [3, 17, 41])


@pytest.mark.long
def test_a_copy_with_files_that_is_killed_at_twenty_points_goes_on(
    origin: Origin, tmp_path: Path
) -> None:
    is_whole_after_kills(origin, tmp_path, random.Random(15).sample(range(120), 20))


def is_whole_after_kills(origin: Origin, tmp_path: Path, steps: list[int]) -> None:
    """What killed copies and one that comes to its end have made is what one copy makes."""
    with open_registry(origin.url) as source:
        source.delete_registered_model("foreign")
        source.push_model_version("foreign", write_tree(tmp_path / "f", MODEL), create=True)
    target_url = f"sqlite:///{tmp_path}/target.db"
    killed_copies(origin, target_url, iter([*steps, 100_000]))
    once = f"sqlite:///{tmp_path}/once/registry.db"
    (tmp_path / "once").mkdir()
    assert origin.regctl.run("copy", "--artifacts", origin.url, once).exit_code == 0
    again = origin.regctl.run("copy", "--artifacts", origin.url, target_url)
    assert "2 unchanged" in again.stderr
    with open_registry(target_url) as target, open_registry(once) as other:
        for name in ("pushed", "foreign"):
            one, two = target.snapshot(name), other.snapshot(name)
            assert len(one.events) == len(two.events)
            for number in one.versions:
                digest = target.verify_model_version(name, number).digest
                assert digest == other.verify_model_version(name, number).digest
        assert target.fsck().clean
