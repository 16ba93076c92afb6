"""What a check of files looked at, and what it did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.artifacts.versions import ModelArtifacts
from registry_core.fsck import Finding, Report
from registry_core.models import NewModelVersion, Status
from registry_core.store import system_clock
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from registry_core.testing.ages import HOUR
from registry_core.testing.calls import TESTER, Calls
from registry_core.writer import Writer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(system_clock())


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> Registry:
    registry = Registry(MemoryStore(clock), artifacts=LocalArtifactStore(tmp_path / "artifacts"))
    registry.create_registered_model("m")
    return registry


def pending(registry: Registry) -> int:
    """The number of a version whose upload has begun."""
    source = f"{registry.artifacts.root}/m/0"
    new = NewModelVersion(name="m", source=source, status=Status.PENDING_REGISTRATION)
    return Calls(registry.store).create_model_version(new).version


def test_every_version_is_counted_once(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """As looked at, or by the reason why not."""
    (tmp_path / "weights").write_text("w")
    registry.create_model_version("m", source=str(tmp_path / "weights"))
    registry.create_model_version("m", source="s3://elsewhere/1")
    # Another server's files: this root has no such path.
    registry.create_model_version("m", source="mlflow-artifacts:/1/a/model")
    failed = pending(registry)
    Calls(registry.store).finalize_model_version("m", failed, status=Status.FAILED_REGISTRATION)
    pending(registry)
    files = ModelArtifacts(Writer(registry.store, TESTER), registry.artifacts, clock=clock)
    report = files.fsck()
    assert report.findings == ()
    assert report.checked == {"versions_with_files": 1, "files": 1}
    assert report.not_checked == {
        "sources_elsewhere": 2,
        "failed_uploads": 1,
        "uploads_under_way": 1,
    }
    clock.advance(2 * HOUR)
    report = files.fsck()
    assert [finding.problem for finding in report.findings] == ["abandoned-upload"]
    assert report.checked["versions_with_files"] == 2
    assert "uploads_under_way" not in report.not_checked


def test_a_repair_by_a_machine_whose_clock_is_ahead_ends_no_upload(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """The place where the files are knows better how old they are."""
    number = pending(registry)
    (tmp_path / "artifacts" / "m" / "0").mkdir(parents=True)
    (tmp_path / "artifacts" / "m" / "0" / "weights").write_text("half of th")
    ahead = ModelArtifacts(
        Writer(registry.store, TESTER), registry.artifacts, clock=ManualClock(clock.now + 5 * HOUR)
    )
    assert ahead.fsck(repair=True).findings == ()
    assert registry.store.get_model_version("m", number).status is Status.PENDING_REGISTRATION


def test_reports_add_up() -> None:
    """Kinds that two of them have are summed, and none is clean that looked at nothing."""
    one = Report(findings=(), checked={"a": 1, "b": 0}, not_checked={"c": 1}, notes=("n",))
    two = Report(findings=(), checked={"a": 2}, not_checked={"c": 2, "d": 3})
    both = Report.of([one, two])
    assert (both.checked, both.not_checked) == ({"a": 3, "b": 0}, {"c": 3, "d": 3})
    assert (both.notes, both.clean) == (("n",), True)
    assert not Report.of([]).clean
    finding = Finding(problem="p", subject="s", detail="d", repairable=False)
    assert not Report.of([one, Report(findings=(finding,), checked={})]).clean
