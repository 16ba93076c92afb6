"""Pushing and pulling: what is kept, continued after interruptions, and shared."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from registry_core import (
    ArtifactImmutableError,
    Author,
    ConflictError,
    ContentionError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    Registry,
    Status,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.artifacts import ArtifactStore
from registry_core.changes import FinalizeVersion
from registry_core.testing.calls import Calls
from services.artifacts import MODEL, all_bytes, memory_registry, read_tree, write_tree
from services.watched_artifacts import WatchedArtifacts


@pytest.fixture
def watched(artifacts: ArtifactStore) -> WatchedArtifacts:
    """The artifact store, with its calls counted and its failures arranged."""
    return WatchedArtifacts(artifacts)


@pytest.fixture
def registry(watched: WatchedArtifacts) -> Registry:
    """A registry on the watched store, with the model `churn`."""
    registry = memory_registry(watched)
    registry.create_registered_model("churn")
    return registry


def test_push_keeps_the_files_and_says_where(registry: Registry, model: Path) -> None:
    """The version is READY, its source below the root, its digest among its tags."""
    version = registry.create_model_version(
        "churn", source=str(model), tags={"a": "b"}, run_id="r", description="d"
    )
    assert (version.version, version.status, version.run_id) == (1, Status.READY, "r")
    digest = version.tags["registry.artifacts.digest"]
    assert version.tags == {"a": "b", "registry.artifacts.digest": digest}
    assert version.source == f"{registry.artifacts.root}/churn/{digest.split(':')[1][:32]}"
    folder = registry.files.own_path(version.source)
    kept = all_bytes(registry.artifacts, folder)
    assert kept == {f"{folder}/{path}": body for path, body in MODEL.items()}
    assert registry.files.manifest(folder).digest == digest


def test_pushing_one_file_makes_a_version_of_it(
    registry: Registry, model: Path, tmp_path: Path
) -> None:
    """Under its own name."""
    registry.create_model_version("churn", source=str(model / "MLmodel"))
    registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"MLmodel": MODEL["MLmodel"]}


def test_push_takes_a_file_url(registry: Registry, model: Path, tmp_path: Path) -> None:
    """With the escapes that such a URL has."""
    spaced = model.rename(tmp_path / "a model")
    registry.create_model_version("churn", source=spaced.as_uri())
    assert registry.verify_model_version("churn", 1).files


def test_same_bytes_are_kept_once(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """Two versions of one model share them; another model has its own."""
    registry.create_registered_model("other")
    first = registry.create_model_version("churn", source=str(model))
    watched.writes.clear()
    second = registry.create_model_version("churn", source=str(model))
    assert (second.version, second.source) == (2, first.source)
    assert not watched.artifact_writes()
    third = registry.create_model_version("other", source=str(model))
    assert third.source != first.source
    assert len(watched.artifact_writes()) == len(MODEL)


def test_push_is_refused_before_a_version_is_made(registry: Registry, model: Path) -> None:
    """What cannot be pushed leaves no version behind."""
    (model / "link").symlink_to("nowhere")
    for source in (str(model), str(model / "none")):
        with pytest.raises(InvalidArgumentError):
            registry.create_model_version("churn", source=source)
    with pytest.raises(RegisteredModelNotFoundError):
        registry.create_model_version("none", source=str(model / "data"))
    assert not registry.search_model_versions().items
    assert all_bytes(registry.artifacts) == {}


def test_failed_push_says_why_and_may_be_repeated(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """The version failed, with a message; the next push sends only what is not there."""
    watched.fail("write", after=3, error=StoreUnavailableError("the bucket is away"))
    with pytest.raises(StoreUnavailableError):
        registry.create_model_version("churn", source=str(model))
    failed = registry.get_model_version("churn", 1)
    assert failed.status is Status.FAILED_REGISTRATION
    assert failed.status_message == "upload failed: the bucket is away"
    assert 0 < len(watched.artifact_writes()) < len(MODEL)
    watched.heal()
    again = registry.create_model_version("churn", source=str(model))
    assert (again.version, again.status) == (2, Status.READY)
    assert len(watched.artifact_writes()) == len(MODEL)  # each file once, over both runs
    registry.verify_model_version("churn", 2)


@pytest.mark.parametrize("error", [StoreBusyError("full"), ContentionError("lost again")])
@pytest.mark.parametrize("point", ["read", "finalize"])
def test_store_that_is_busy_when_there_is_a_version_has_not_written_nothing(
    registry: Registry, model: Path, monkeypatch: pytest.MonkeyPatch, point: str, error: Exception
) -> None:
    """Over HTTP a client would repeat the whole call, because nothing was written, and make another."""

    def busy(*_: object, **__: object) -> object:
        raise error

    apply = registry.store.apply

    def apply_unless_last(change: object, *, by: Author) -> object:
        return busy() if isinstance(change, FinalizeVersion) else apply(change, by=by)

    if point == "read":
        monkeypatch.setattr(registry.store, "get_model_version", busy)
    else:
        monkeypatch.setattr(registry.store, "apply", apply_unless_last)
    with pytest.raises(StoreUnavailableError, match="was not finished") as raised:
        registry.create_model_version("churn", source=str(model))
    assert not isinstance(raised.value, StoreBusyError)
    monkeypatch.undo()
    assert registry.get_model_version("churn", 1).status is Status.PENDING_REGISTRATION


def test_interrupted_push_is_continued(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """As by Ctrl-C: the same call goes on with the same version, and sends only what is missing."""
    watched.fail("write", after=3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        registry.create_model_version("churn", source=str(model), run_id="r")
    assert registry.get_model_version("churn", 1).status is Status.PENDING_REGISTRATION
    assert 0 < len(watched.artifact_writes()) < len(MODEL)
    watched.heal()
    version = registry.create_model_version("churn", source=str(model), run_id="r")
    assert (version.version, version.status) == (1, Status.READY)
    assert len(watched.artifact_writes()) == len(MODEL)  # each file once, over both runs
    registry.verify_model_version("churn", 1)


def test_another_push_is_not_the_interrupted_one(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """Other fields make another version of the same bytes."""
    watched.fail("write", after=3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        registry.create_model_version("churn", source=str(model), run_id="r")
    watched.heal()
    assert registry.create_model_version("churn", source=str(model), run_id="s").version == 2
    assert registry.get_model_version("churn", 1).status is Status.PENDING_REGISTRATION


def test_file_with_other_bytes_is_sent_again(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """Of the same size, too: what an interrupted push left is not believed."""
    watched.fail("write", after=10**6, error=KeyboardInterrupt())
    version = registry.create_model_version("churn", source=str(model))
    folder = registry.files.own_path(version.source)
    registry.delete_model_version("churn", 1)
    watched.write(f"{folder}/MLmodel", [b"x" * len(MODEL["MLmodel"])])
    registry.create_model_version("churn", source=str(model))
    registry.verify_model_version("churn", 2)


def test_file_that_changes_during_the_push_is_not_kept(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """No version is READY whose bytes are not its manifest's."""
    watched.before("write", lambda: (model / "MLmodel").write_bytes(b"changed meanwhile"))
    with pytest.raises(InvalidArgumentError, match="'MLmodel' changed while it was uploaded"):
        registry.create_model_version("churn", source=str(model))
    assert registry.get_model_version("churn", 1).status is Status.FAILED_REGISTRATION
    assert not any(path.endswith("MLmodel") for path in all_bytes(watched))


def test_progress_tells_the_bytes(registry: Registry, model: Path, tmp_path: Path) -> None:
    """From nothing to all, in order, on the way up and down, also for what is there already."""
    total = sum(map(len, MODEL.values()))
    for _ in range(2):
        steps = Steps()
        registry.create_model_version("churn", source=str(model), progress=steps)
        assert steps.told == sorted(steps.told)
        assert steps.told[-1] == (total, total)
        steps = Steps()
        registry.pull_model_version("churn", 1, tmp_path / "out", progress=steps)
        assert steps.told == sorted(steps.told)
        assert steps.told[-1] == (total, total)


class Steps:
    """Listens to a progress."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.told.append((done, total))


def test_pushes_of_the_same_bytes_at_once_make_one_version(registry: Registry, model: Path) -> None:
    """Or several, each of them READY and whole: never one that is not."""
    numbers: list[int] = []

    def push() -> None:
        numbers.append(registry.create_model_version("churn", source=str(model)).version)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 4
    for version in registry.iter_model_versions():
        assert version.status is Status.READY
        registry.verify_model_version("churn", version.version)
    assert set(numbers) == {version.version for version in registry.iter_model_versions()}


def test_push_whose_version_was_given_up_makes_another(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """A repair took it for abandoned; the bytes that came meanwhile are not sent twice."""

    def give_up() -> None:
        if registry.get_model_version("churn", 1).status is Status.PENDING_REGISTRATION:
            Calls(registry.store).finalize_model_version(
                "churn", 1, status=Status.FAILED_REGISTRATION, status_message="given up"
            )

    watched.before("write", give_up, times=1)
    version = registry.create_model_version("churn", source=str(model))
    assert (version.version, version.status) == (2, Status.READY)
    assert len(watched.artifact_writes()) == len(MODEL)


def test_push_whose_version_is_deleted_fails(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """Nothing comes back."""
    watched.before("write", lambda: registry.delete_model_version("churn", 1), times=1)
    with pytest.raises(ModelVersionNotFoundError):
        registry.create_model_version("churn", source=str(model))
    assert not registry.search_model_versions().items


def test_push_never_ends_its_namesakes_version(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """The model was deleted, and another one of its name has a version 1 that is not there yet."""

    def replace() -> None:
        registry.delete_registered_model("churn")
        registry.create_registered_model("churn")
        from registry_core.models import NewModelVersion

        Calls(registry.store).create_model_version(
            NewModelVersion(name="churn", source="s3://b/p", status=Status.PENDING_REGISTRATION)
        )

    watched.before("write", replace, times=1)
    with pytest.raises(ConflictError, match="deleted"):
        registry.create_model_version("churn", source=str(model))
    assert registry.get_model_version("churn", 1).status is Status.PENDING_REGISTRATION


def test_renamed_model_keeps_its_files(registry: Registry, model: Path, tmp_path: Path) -> None:
    """And a new model of the old name has its own."""
    registry.create_model_version("churn", source=str(model))
    registry.rename_registered_model("churn", new_name="attrition")
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source=str(model / "data"))
    registry.verify_model_version("attrition", 1)
    registry.pull_model_version("attrition", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL


def test_copy_is_the_same_bytes(registry: Registry, model: Path, tmp_path: Path) -> None:
    """A copied version is verified by the manifest of the first."""
    first = registry.create_model_version("churn", source=str(model))
    registry.create_registered_model("copy")
    copy = registry.create_model_version("copy", source="models:/churn/1")
    assert (copy.source, copy.storage_location) == ("models:/churn/1", first.source)
    registry.delete_registered_model("churn")
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    registry.pull_model_version("copy", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL


def test_nothing_is_pushed_below_a_version(registry: Registry, model: Path) -> None:
    """A folder that somebody registered as a whole stays as it was."""
    registry.files.write("churn/readme", [b"1"])
    registry.create_registered_model("whole")
    registry.create_model_version("whole", source=f"{registry.artifacts.root}/churn")
    with pytest.raises(ArtifactImmutableError):
        registry.create_model_version("churn", source=str(model))
    registry.verify_model_version("whole", 1)


# Pull


def test_pull_keeps_what_is_there(
    registry: Registry, watched: WatchedArtifacts, model: Path, tmp_path: Path
) -> None:
    """And replaces what is not as it should be; the rest is not read again."""
    registry.create_model_version("churn", source=str(model))
    registry.pull_model_version("churn", 1, tmp_path / "out")
    (tmp_path / "out/MLmodel").write_bytes(b"flavors: []\n")
    (tmp_path / "out/empty").unlink()
    watched.reads.clear()
    registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL
    assert Counter(path.rpartition("/")[2] for path in watched.artifact_reads()) == {
        "MLmodel": 1,
        "empty": 1,
    }


def test_interrupted_pull_is_continued(
    registry: Registry, watched: WatchedArtifacts, model: Path, tmp_path: Path
) -> None:
    """Files that came whole stay; no half of one is ever seen under its name."""
    registry.create_model_version("churn", source=str(model))
    watched.fail("read", after=4, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out").items() <= MODEL.items()
    watched.heal()
    registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL


def test_pull_clears_up_after_a_dead_one(registry: Registry, model: Path, tmp_path: Path) -> None:
    """What a killed pull left half-way is removed by the next."""
    registry.create_model_version("churn", source=str(model))
    write_tree(tmp_path / "out/.registry-partial-dead", {"x": b"half"})
    registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "MLmodel",
        "data",
        "empty",
    ]


def test_pulls_into_one_directory_do_not_disturb_each_other(
    registry: Registry, model: Path, tmp_path: Path
) -> None:
    """Each has its own place for what is not complete."""
    registry.create_model_version("churn", source=str(model))
    failures: list[BaseException] = []

    def pull() -> None:
        try:
            registry.pull_model_version("churn", 1, tmp_path / "out")
        except BaseException as error:  # noqa: BLE001 told below
            failures.append(error)

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read_tree(tmp_path / "out") == MODEL


def test_pull_does_not_mix_with_other_files(
    registry: Registry, model: Path, tmp_path: Path
) -> None:
    """A destination that holds something else would not be the version."""
    registry.create_model_version("churn", source=str(model))
    write_tree(tmp_path / "out", {"data/old.bin": b"of another version"})
    with pytest.raises(InvalidArgumentError, match=r"holds 'data/old.bin'"):
        registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"data/old.bin": b"of another version"}


@pytest.mark.parametrize("link", ["data", "MLmodel"])
def test_pull_follows_no_link_out_of_its_destination(
    registry: Registry, model: Path, tmp_path: Path, link: str
) -> None:
    """Somebody put it there."""
    registry.create_model_version("churn", source=str(model))
    outside = write_tree(tmp_path / "outside", {"MLmodel": b"precious"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / link).symlink_to(outside / "MLmodel" if link == "MLmodel" else outside)
    with pytest.raises(InvalidArgumentError):
        registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(outside) == {"MLmodel": b"precious"}


def test_pulled_files_have_ordinary_permissions(
    registry: Registry, model: Path, tmp_path: Path
) -> None:
    """As the user's umask says, not those of a temporary file."""
    registry.create_model_version("churn", source=str(model))
    before = os.umask(0o022)
    try:
        registry.pull_model_version("churn", 1, tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out/MLmodel").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("source", ["s3://elsewhere/p", "https://h/m", "runs:/r/m", "models:/m-1"])
def test_what_is_elsewhere_is_not_pulled(registry: Registry, tmp_path: Path, source: str) -> None:
    """The message says where it is."""
    registry.create_model_version("churn", source=source)
    with pytest.raises(InvalidArgumentError, match="not below the artifact root"):
        registry.pull_model_version("churn", 1, tmp_path / "out")
    with pytest.raises(InvalidArgumentError, match="not below the artifact root"):
        registry.verify_model_version("churn", 1)
    assert registry.fsck(grace_seconds=0).clean


def test_pending_version_is_not_pulled(
    registry: Registry, watched: WatchedArtifacts, model: Path, tmp_path: Path
) -> None:
    """Its bytes are not all there."""
    watched.fail("write", after=3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        registry.create_model_version("churn", source=str(model))
    with pytest.raises(InvalidArgumentError, match="PENDING_REGISTRATION"):
        registry.pull_model_version("churn", 1, tmp_path / "out")


def test_registry_without_an_artifact_root_keeps_sources_as_given(model: Path) -> None:
    """And says what is missing when files are asked for."""
    from registry_core.stores.memory import MemoryStore

    registry = Registry(MemoryStore())
    registry.create_registered_model("churn")
    assert registry.create_model_version("churn", source=str(model)).source == str(model)
    with pytest.raises(InvalidArgumentError, match="no artifact root"):
        registry.verify_model_version("churn", 1)
