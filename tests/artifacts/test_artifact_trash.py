"""Files of what was deleted stay as long as it can be restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.retention import RETENTION_VARIABLE


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trash is kept for a month."""
    monkeypatch.setenv(RETENTION_VARIABLE, "30")


@pytest.mark.usefixtures("kept")
def test_files_in_the_trash_are_not_collected(
    registry: Registry, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a deleted version and of a deleted model; without the trash they are."""
    for _ in range(2):
        registry.create_model_version("churn", source=str(model))
    registry.delete_model_version("churn", 1)
    registry.delete_registered_model("churn")
    assert registry.files.collect_garbage(grace_seconds=0).files == 0

    registry.restore_registered_model("churn")
    registry.restore_model_version("churn", 1)
    for number in (1, 2):
        registry.verify_model_version("churn", number)

    registry.delete_registered_model("churn")
    monkeypatch.setenv(RETENTION_VARIABLE, "0")
    assert registry.files.collect_garbage(grace_seconds=0).files > 0
