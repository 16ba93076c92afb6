"""Folders as people have them: pushed and pulled on every root, or refused before anything is made."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.errors import (
    InvalidArgumentError,
    PushInterrupted,
    RegisteredModelNotFoundError,
    StoreUnavailableError,
)
from registry_core.models import Status
from services.artifacts import (
    KINDS,
    MODEL,
    artifact_url,
    memory_registry,
    read_tree,
    write_tree,
)

ODD = {
    name: name.encode()
    for name in (
        "100%", "a%41b", "50%25 off", "a#b", "data:x", "12:30.log", "a b", " lead", "a;b", "a?b", "a&b=c", "-rf",
        "~", "$HOME", "`id`", "'q'", '"q"', "<b>", "*", "[x]", "{y}", "é", "日本語", "🦜", "...", ".hidden", "a+b",
        "deep/x#y/50%/tt:t/12:00", "trail.", "CON", "a|b", "manifest.json", "x" * 200,
    )
}  # fmt: skip
"""Files with every odd name that a version can have."""


def snapshot(folder: Path) -> Path:
    """A snapshot as the cache of Hugging Face keeps one: links to blobs beside it."""
    blobs = write_tree(folder / "models--org--m/blobs", {"1f": b"{}", "2e": b"weights" * 1000})
    made = folder / "models--org--m/snapshots/abc"
    (made / "onnx").mkdir(parents=True)
    (made / "config.json").symlink_to("../../blobs/1f")
    (made / "onnx/model.onnx").symlink_to("../../../blobs/2e")
    assert blobs.is_dir()
    return made


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry without models, on each kind of artifact root."""
    with memory_registry(artifact_url(request.param, request)) as registry:
        yield registry


def test_snapshot_of_hugging_face_comes_back(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As files; that its links lead out of it is said."""
    with caplog.at_level(logging.WARNING):
        registry.push_model_version("m", snapshot(tmp_path), create=True)
    assert "2 links in" in caplog.text
    registry.pull_model_version("m", 1, tmp_path / "out")
    files = {"config.json": b"{}", "onnx/model.onnx": b"weights" * 1000}
    assert read_tree(tmp_path / "out") == files


ROWS, CLASSES = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of scikit-learn's, as MLflow saves it. What it needs is said, and not looked for."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression().fit(ROWS, CLASSES)
        mlflow.sklearn.save_model(model, folder, pip_requirements=["scikit-learn"])
    return folder


def test_folder_that_mlflow_has_saved_comes_back(
    registry: Registry, saved: Path, tmp_path: Path
) -> None:
    """It predicts what it did."""
    import mlflow.sklearn

    registry.push_model_version("m", saved, create=True)
    registry.pull_model_version("m", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(saved)
    assert list(mlflow.sklearn.load_model(str(tmp_path / "out")).predict(ROWS)) == CLASSES


def test_odd_names_come_back(registry: Registry, tmp_path: Path) -> None:
    """Byte for byte, under their names."""
    registry.push_model_version("m", write_tree(tmp_path / "odd", ODD), create=True)
    registry.pull_model_version("m", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == ODD


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Registry]:
    """A registry without models, with its files in a directory."""
    with memory_registry(str(tmp_path / "root")) as registry:
        yield registry


def test_refused_push_makes_no_model(local: Registry, tmp_path: Path) -> None:
    """Neither for what is in the folder, nor for what is said about the version."""
    model = write_tree(tmp_path / "model")
    with pytest.raises(InvalidArgumentError):
        local.push_model_version("m", tmp_path / "none", create=True)
    with pytest.raises(InvalidArgumentError):
        local.push_model_version("m", model, create=True, tags={"": "x"})
    (model / "link").symlink_to("MLmodel")
    with pytest.raises(InvalidArgumentError, match="'link' is a link"):
        local.push_model_version("m", model, create=True, follow_links=False)
    with pytest.raises(RegisteredModelNotFoundError):
        local.push_model_version("m", model)
    assert not local.search_registered_models().items


def test_root_that_is_away_makes_no_model(
    local: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked first."""

    def away(_: str) -> None:
        raise StoreUnavailableError("the bucket is away")

    monkeypatch.setattr(local.artifacts, "list", away)
    with pytest.raises(StoreUnavailableError):
        local.push_model_version("m", write_tree(tmp_path / "model"), create=True)
    assert not local.search_registered_models().items


def test_unchanged_files_are_not_pushed_again(local: Registry, tmp_path: Path) -> None:
    """If they are those of the newest version that is READY."""
    model = write_tree(tmp_path / "model")
    other = write_tree(tmp_path / "other", {"MLmodel": b"other"})
    push = local.push_model_version
    assert push("m", model, create=True, if_changed=True).version == 1
    assert push("m", model, if_changed=True).version == 1
    assert push("m", other, if_changed=True).version == 2
    assert push("m", model, if_changed=True).version == 3
    assert push("m", model).version == 4


def test_interrupt_says_which_version_is_pending(local: Registry, tmp_path: Path) -> None:
    """No large file is read to its end, and the same push goes on."""
    files = {**MODEL, **{f"large{number}": bytes(8_000_000) for number in range(8)}}
    model = write_tree(tmp_path / "model", files)
    seen: list[int] = []

    def interrupt(done: int, _: int) -> None:
        seen.append(done)
        if len(seen) == 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        # Slow enough that what goes on after it would be seen.
        threading.Event().wait(0.02)

    with pytest.raises(PushInterrupted, match="models:/m/1 is pending") as interrupted:
        local.push_model_version("m", model, create=True, progress=interrupt)
    assert (interrupted.value.name, interrupted.value.version) == ("m", 1)
    assert max(seen) < sum(map(len, files.values())) / 2
    assert local.get_model_version("m", 1).status is Status.PENDING_REGISTRATION
    pushed = local.push_model_version("m", model)
    assert (pushed.version, pushed.status) == (1, Status.READY)
    local.verify_model_version("m", 1)
