"""Uploads to a bucket that were continued: their files are visible before their bytes are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from registry_core import ConflictError, InvalidArgumentError, Registry
from registry_core.artifacts import RESUMABLE_BYTES, ManifestFile, make_manifest
from registry_core.artifacts.backends import s3 as backend
from registry_core.artifacts.backends.s3_parts import PART_SIZE
from registry_core.models import Status
from services.artifacts import all_bytes, artifact_url, memory_registry, write_tree

RIGHT = bytes(range(256)) * (RESUMABLE_BYTES // 256 + 1)
WRONG = b"x" * (2 * PART_SIZE)
"""What an upload of other bytes under the same digest has left."""

NOTES = ".registry/unverified"
DIGEST = hashlib.sha256(RIGHT).hexdigest()
MANIFEST = make_manifest([ManifestFile(path="weights", size=len(RIGHT), sha256=DIGEST)])


class KilledError(BaseException):
    """The process is no more."""


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry on a bucket."""
    with memory_registry(artifact_url("s3", request)) as registry:
        yield registry


@attrs.frozen
class Pushing:
    """A push through a server, of which an upload was interrupted."""

    registry: Registry
    path: str
    kept: int

    def go_on(self) -> None:
        """Continue the upload."""
        writer = self.registry.files.writer(self.path, sha256=DIGEST, start=self.kept)
        writer.write(RIGHT[self.kept :])
        writer.commit()

    def send_anew(self) -> None:
        """Send the file from its start, as another client would."""
        self.registry.files.write(self.path, [RIGHT], sha256=DIGEST)

    def notes(self) -> list[str]:
        """What is noted as not verified."""
        assert self.registry.artifacts is not None
        return [info.path for info in self.registry.artifacts.walk(NOTES)]


def interrupted(registry: Registry, head: bytes) -> Pushing:
    """A push of which these first bytes were sent."""
    begun = registry.begin_push("m", MANIFEST, create=True)
    path = f"{begun.path}/weights"
    writer = registry.files.writer(path, sha256=DIGEST, start=0)
    writer.write(head)
    writer.suspend()
    kept = registry.files.kept_bytes(path, sha256=DIGEST)
    assert kept >= PART_SIZE
    return Pushing(registry, path, kept)


def killed_before_comparing(registry: Registry, head: bytes, patch: pytest.MonkeyPatch) -> Pushing:
    """A push whose continued upload is a file, and which was killed just then."""
    pushing = interrupted(registry, head)

    def killed(_: object) -> str:
        raise KilledError

    with patch.context() as patched:
        patched.setattr(backend, "digest_of", killed)
        with pytest.raises(KilledError):
            pushing.go_on()
    assert registry.artifacts is not None
    assert registry.artifacts.stat(pushing.path).size == len(RIGHT)
    return pushing


@pytest.mark.parametrize("is_right", [False, True], ids=["other bytes", "right bytes"])
def test_a_kill_before_the_bytes_are_compared_makes_no_version_of_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, *, is_right: bool
) -> None:
    """They are read before the version is READY, and sent again if they are others."""
    head = RIGHT[: len(WRONG)] if is_right else WRONG
    pushing = killed_before_comparing(registry, head, monkeypatch)
    if not is_right:
        for _ in range(2):  # The folder is sealed by the first.
            with pytest.raises(ConflictError, match="push again"):
                registry.finish_push("m", 1)
        assert registry.get_model_version("m", 1).status is Status.PENDING_REGISTRATION
    begun = registry.begin_push("m", MANIFEST)
    assert (begun.version.version, list(begun.missing)) == (1, [] if is_right else ["weights"])
    if not is_right:
        pushing.send_anew()
    assert registry.finish_push("m", 1).status is Status.READY
    registry.verify_model_version("m", 1)
    assert pushing.notes() == []


def test_a_push_beside_the_root_trusts_no_file_that_was_not_compared(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its digest is recorded with it."""
    pushing = killed_before_comparing(registry, WRONG, monkeypatch)
    assert registry.artifacts is not None
    assert registry.artifacts.stat(pushing.path).sha256 == DIGEST
    model = write_tree(tmp_path / "model", {"weights": RIGHT})
    assert registry.push_model_version("m", model).status is Status.READY
    registry.verify_model_version("m", 1)
    assert pushing.notes() == []


def test_other_bytes_are_refused_and_named_until_they_are_replaced(registry: Registry) -> None:
    pushing = interrupted(registry, WRONG)
    with pytest.raises(InvalidArgumentError, match="has not sha256"):
        pushing.go_on()
    assert list(registry.begin_push("m", MANIFEST).missing) == ["weights"]
    pushing.send_anew()
    registry.finish_push("m", 1)
    registry.verify_model_version("m", 1)
    assert pushing.notes() == []


def test_a_push_that_ends_meanwhile_keeps_its_file(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the other one is about to make its file, or has read that and found other bytes."""
    pushing = interrupted(registry, WRONG)
    complete, digest_of = backend.S3ArtifactStore.complete_multipart, backend.digest_of

    def end() -> None:
        monkeypatch.setattr(backend.S3ArtifactStore, "complete_multipart", complete)
        monkeypatch.setattr(backend, "digest_of", digest_of)
        pushing.send_anew()
        assert registry.finish_push("m", 1).status is Status.READY

    def late(*arguments: Any, **options: Any) -> None:
        end()
        complete(*arguments, **options)

    monkeypatch.setattr(backend.S3ArtifactStore, "complete_multipart", late)
    with pytest.raises(ConflictError, match="ended by somebody else"):
        pushing.go_on()
    registry.verify_model_version("m", 1)

    registry.delete_registered_model("m")
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    pushing = interrupted(registry, WRONG)

    def read_before(reading: Any) -> str:
        found = digest_of(reading)
        end()
        return found

    monkeypatch.setattr(backend, "digest_of", read_before)
    with pytest.raises(InvalidArgumentError):
        pushing.go_on()
    registry.verify_model_version("m", 1)
    assert pushing.notes() == []


def test_nothing_is_continued_in_a_sealed_folder(registry: Registry) -> None:
    """Neither what was kept before, nor by one who looked before."""
    pushing = interrupted(registry, WRONG)
    writer = registry.files.writer(pushing.path, sha256=DIGEST, start=pushing.kept)
    writer.write(RIGHT[pushing.kept :])
    pushing.send_anew()
    registry.finish_push("m", 1)
    with pytest.raises(ConflictError, match="was over"):
        writer.commit()
    assert pushing.notes() == []
    assert registry.files.kept_bytes(pushing.path, sha256=DIGEST) == 0
    with pytest.raises(ConflictError):
        pushing.go_on()
    registry.verify_model_version("m", 1)


def test_nothing_is_continued_in_a_folder_that_was_collected(registry: Registry) -> None:
    """Another version may be made of what others put there."""
    pushing = interrupted(registry, WRONG)
    writer = registry.files.writer(pushing.path, sha256=DIGEST, start=pushing.kept)
    writer.write(RIGHT[pushing.kept :])
    registry.delete_registered_model("m")
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    with pytest.raises(ConflictError):
        writer.commit()
    assert registry.artifacts is not None
    assert all_bytes(registry.artifacts) == {}


def test_only_large_files_are_continued(registry: Registry) -> None:
    """So no other file is ever noted, whatever a client says of its size."""
    small = ManifestFile(path="f", size=len(WRONG), sha256=hashlib.sha256(WRONG).hexdigest())
    path = f"{registry.begin_push('m', make_manifest([small]), create=True).path}/f"
    writer = registry.files.writer(path, sha256=small.sha256, start=0)
    writer.write(WRONG)
    writer.suspend()
    assert registry.files.kept_bytes(path, sha256=small.sha256) == 0
    with pytest.raises(ConflictError):
        registry.files.writer(path, sha256=small.sha256, start=PART_SIZE)


def test_a_collection_takes_the_note_with_its_file(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while a version waits for the file."""
    pushing = killed_before_comparing(registry, WRONG, monkeypatch)
    collect = registry.files.collect_garbage
    collect(grace_seconds=0, dry_run=False)
    assert len(pushing.notes()) == 1
    registry.finish_push("m", 1, failed_because="gave up")
    assert collect(grace_seconds=0).folders
    collect(grace_seconds=0, dry_run=False)
    assert all_bytes(registry.artifacts) == {}


def test_fsck_names_a_file_of_a_version_that_is_noted(registry: Registry) -> None:
    """A repair reads it."""
    pushing = interrupted(registry, WRONG)
    pushing.send_anew()
    registry.finish_push("m", 1)
    note = f"{NOTES}/{pushing.path.rpartition('/')[0]}/0"
    assert registry.artifacts is not None

    def found(*, repair: bool) -> list[tuple[str, bool]]:
        report = registry.files.fsck(repair=repair)
        return [(finding.problem, finding.repaired) for finding in report.findings]

    body = json.dumps({"path": "weights", "write": "gone"}).encode()
    for written, at_first, at_last in (
        (body, ("unverified-file", True), []),
        (b"{}", ("unverified-file", False), [("unverified-file", False)]),
    ):
        registry.artifacts.write(note, [written])
        assert found(repair=False) == [("unverified-file", False)]
        assert found(repair=True) == [at_first]
        assert found(repair=False) == at_last
    registry.artifacts.remove([note])
    registry.artifacts.write(pushing.path, [RIGHT[:-1] + b"?"])
    registry.artifacts.write(note, [body])
    assert found(repair=True) == [("unverified-file", False)]


@pytest.mark.parametrize(("content", "lists"), [(RIGHT, 1), (b"small", 0)], ids=["large", "small"])
def test_a_push_that_is_not_continued_asks_for_notes_once_at_most(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    lists: int,
) -> None:
    asked: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        method = getattr(backend.S3ArtifactStore, name)

        def counted(self: object, path: str, *arguments: Any, **options: Any) -> Any:
            asked.append(f"{name} {path}")
            return method(self, path, *arguments, **options)

        return counted

    for name in ("list", "walk", "stat", "read", "writer"):
        monkeypatch.setattr(backend.S3ArtifactStore, name, counting(name))
    model = write_tree(tmp_path / "model", {"weights": content})
    registry.push_model_version("beside", model, create=True)
    assert [one.split()[0] for one in asked if NOTES in one] == ["list"] * lists
    asked.clear()
    digest = hashlib.sha256(content).hexdigest()
    manifest = make_manifest([ManifestFile(path="weights", size=len(content), sha256=digest)])
    begun = registry.begin_push("through", manifest, create=True)
    registry.files.write(f"{begun.path}/weights", [content], sha256=digest)
    registry.finish_push("through", 1)
    assert [one.split()[0] for one in asked if NOTES in one] == ["list"] * lists
