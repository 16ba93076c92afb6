"""Whatever somebody does to the files of a version behind our back: pull and verify tell it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_core import ArtifactMismatchError, ModelVersion, Registry
from registry_core.artifacts import ArtifactStore, ManifestFile, Reading, make_manifest
from registry_core.artifacts.manifest import MANIFEST_MAX_BYTES
from registry_core.backends import open_artifacts
from services.artifacts import MODEL, memory_registry, read_tree

WEIGHTS = "data/weights.bin"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Tamper:
    """What somebody with access to the artifact root can do to a version."""

    def __init__(self, registry: Registry, version: ModelVersion) -> None:
        self.artifacts = registry.artifacts
        self.folder = registry.files.own_path(version.source)
        self.seal = f".registry/manifests/{self.folder}/manifest.json"

    def put(self, path: str, body: bytes) -> None:
        self.artifacts.write(f"{self.folder}/{path}", [body])

    def remove(self, path: str) -> None:
        self.artifacts.remove([f"{self.folder}/{path}"])

    def reseal(self, files: dict[str, bytes]) -> None:
        entries = (
            ManifestFile(path=path, size=len(body), sha256=sha256(body))
            for path, body in files.items()
        )
        self.artifacts.write(self.seal, [make_manifest(entries).to_json()])


def flipped(body: bytes, position: int) -> bytes:
    return body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]


CHECKS: dict[str, Callable[[Registry, Path], object]] = {
    "pull": lambda registry, out: registry.pull_model_version("churn", 1, out),
    "verify": lambda registry, _: registry.verify_model_version("churn", 1),
}

Change = Callable[[Tamper], object]
Expected = tuple[str, str, str]

NONE = "no such file"
TRAILING = MODEL[WEIGHTS] + b"\0"


def differs(path: str, body: bytes) -> Expected:
    if len(body) != len(MODEL[path]):
        return path, f"{len(MODEL[path])} bytes", f"{len(body)} bytes"
    return path, f"sha256 {sha256(MODEL[path])}", f"sha256 {sha256(body)}"


FLIPPED = {n: flipped(MODEL[WEIGHTS], n) for n in (0, 8_000, len(MODEL[WEIGHTS]) - 1)}

CHANGES: dict[str, tuple[Change, list[Expected]]] = {
    **{
        f"byte {n} flipped": (
            lambda tamper, body=body: tamper.put(WEIGHTS, body),
            [differs(WEIGHTS, body)],
        )
        for n, body in FLIPPED.items()
    },
    "truncated": (
        lambda tamper: tamper.put(WEIGHTS, MODEL[WEIGHTS][:-1]),
        [differs(WEIGHTS, MODEL[WEIGHTS][:-1])],
    ),
    "emptied": (lambda tamper: tamper.put("MLmodel", b""), [differs("MLmodel", b"")]),
    "extended": (lambda tamper: tamper.put(WEIGHTS, TRAILING), [differs(WEIGHTS, TRAILING)]),
    "empty no more": (lambda tamper: tamper.put("empty", b"x"), [differs("empty", b"x")]),
    "swapped": (
        lambda tamper: (
            tamper.put("MLmodel", MODEL["data/deep/labels.txt"]),
            tamper.put("data/deep/labels.txt", MODEL["MLmodel"]),
        ),
        [
            differs("MLmodel", MODEL["data/deep/labels.txt"]),
            differs("data/deep/labels.txt", MODEL["MLmodel"]),
        ],
    ),
    "added": (
        lambda tamper: tamper.put("data/evil.py", b"import os"),
        [("data/evil.py", NONE, "9 bytes")],
    ),
    "removed": (
        lambda tamper: tamper.remove("MLmodel"),
        [("MLmodel", f"sha256 {sha256(MODEL['MLmodel'])}", NONE)],
    ),
    "empty file removed": (
        lambda tamper: tamper.remove("empty"),
        [("empty", f"sha256 {sha256(b'')}", NONE)],
    ),
    "renamed": (
        lambda tamper: (tamper.remove("MLmodel"), tamper.put("mlmodel", MODEL["MLmodel"])),
        [
            ("MLmodel", f"sha256 {sha256(MODEL['MLmodel'])}", NONE),
            ("mlmodel", NONE, f"{len(MODEL['MLmodel'])} bytes"),
        ],
    ),
    "all removed": (
        lambda tamper: [tamper.remove(path) for path in MODEL],
        [(path, f"sha256 {sha256(body)}", NONE) for path, body in MODEL.items()],
    ),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_told_with_path_expected_and_found(
    registry: Registry, model: Path, tmp_path: Path, change: str, check: str
) -> None:
    """And a pull leaves no file that is not as it was registered."""
    version = registry.create_model_version("churn", source=str(model))
    tamper, expected = CHANGES[change]
    tamper(Tamper(registry, version))
    with pytest.raises(ArtifactMismatchError) as raised:
        CHECKS[check](registry, tmp_path / "out")
    assert set(raised.value.problems) == {
        f"'{path}': expected {digest}, found {found}" for path, digest, found in expected
    }
    assert raised.value.subject == "models:/churn/1"
    if check == "pull":
        assert read_tree(tmp_path / "out").items() <= MODEL.items()


TERABYTE = 2**40


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("path", ["data/weights.bin", "data/added.bin"])
def test_terabyte_is_refused_without_reading_it(
    tmp_path: Path, model: Path, path: str, check: str
) -> None:
    """Its size says enough, and there may not be so much room."""
    registry = memory_registry(str(tmp_path / "root"))
    registry.create_registered_model("churn")
    version = registry.create_model_version("churn", source=str(model))
    file = tmp_path / "root" / Tamper(registry, version).folder / path
    with file.open("ab") as sparse:
        sparse.truncate(TERABYTE)
    with pytest.raises(
        ArtifactMismatchError, match=f"'{path}': expected .*, found {TERABYTE} bytes"
    ):
        CHECKS[check](registry, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Lying:
    """An artifact store that lists the right sizes and then gives other bytes."""

    def __init__(self, artifacts: ArtifactStore, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._artifacts = artifacts
        self._pieces = pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._artifacts, name)

    def read(self, path: str, **span: Any) -> Reading:
        reading = self._artifacts.read(path, **span)
        if path.endswith(WEIGHTS):
            return Reading(reading.info, self._pieces(), close=reading.close)
        return reading


@pytest.mark.parametrize("check", CHECKS)
def test_bytes_without_end_are_not_taken(tmp_path: Path, model: Path, check: str) -> None:
    """Not one byte more than the manifest says is written, whatever the store goes on to give."""
    out, given, most = tmp_path / "out", 0, 0

    def pieces() -> Iterator[bytes]:
        nonlocal given, most
        while True:
            most = max([most, *(file.stat().st_size for file in out.rglob("*") if file.is_file())])
            given += 1000
            yield bytes(1000)

    artifacts = Lying(open_artifacts(str(tmp_path / "root")), pieces)
    registry = memory_registry(artifacts)
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source=str(model))
    size = len(MODEL[WEIGHTS])
    with pytest.raises(
        ArtifactMismatchError, match=f"'{WEIGHTS}': expected {size} bytes, found more"
    ):
        CHECKS[check](registry, out)
    assert most <= size
    assert given <= size + 1000
    assert not out.exists() or read_tree(out).items() <= MODEL.items()


@pytest.mark.parametrize("check", CHECKS)
def test_bytes_that_end_early_are_told(tmp_path: Path, model: Path, check: str) -> None:
    """As a size, because that is what is wrong with them."""
    artifacts = Lying(open_artifacts(str(tmp_path / "root")), lambda: iter([b"12345"]))
    registry = memory_registry(artifacts)
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source=str(model))
    with pytest.raises(ArtifactMismatchError, match="found 5 bytes"):
        CHECKS[check](registry, tmp_path / "out")


def test_millions_of_added_files_are_not_all_named(
    registry: Registry, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error stays one that can be read."""
    monkeypatch.setattr("registry_core.artifacts.versions.pull.PROBLEMS_MAX", 3)
    version = registry.create_model_version("churn", source=str(model))
    for number in range(5):
        Tamper(registry, version).put(f"added{number}", b"")
    with pytest.raises(ArtifactMismatchError) as raised:
        registry.verify_model_version("churn", 1)
    assert len(raised.value.problems) == 4
    assert raised.value.problems[-1] == "and 2 more"


@pytest.mark.parametrize("check", CHECKS)
def test_manifest_of_a_terabyte_is_not_read(tmp_path: Path, model: Path, check: str) -> None:
    """It is damaged, and said to be."""
    registry = memory_registry(str(tmp_path / "root"))
    registry.create_registered_model("churn")
    version = registry.create_model_version("churn", source=str(model))
    with (tmp_path / "root" / Tamper(registry, version).seal).open("ab") as sparse:
        sparse.truncate(TERABYTE)
    with pytest.raises(ArtifactMismatchError, match=f"more than {MANIFEST_MAX_BYTES} bytes"):
        CHECKS[check](registry, tmp_path / "out")
    assert [found.problem for found in registry.fsck().findings] == ["damaged-manifest"]


def damaged_seals() -> dict[str, Change]:
    return {
        "cut": lambda tamper: tamper.artifacts.write(tamper.seal, [b'{"format_version": 1, "fi']),
        "emptied": lambda tamper: tamper.artifacts.write(tamper.seal, [b""]),
        "removed": lambda tamper: tamper.artifacts.remove([tamper.seal]),
        "closed again": lambda tamper: tamper.artifacts.write(
            tamper.seal, [b'{"format_version": 1, "closing": null}']
        ),
        "of other files": lambda tamper: tamper.reseal({**MODEL, "MLmodel": b"evil"}),
        "of fewer files": lambda tamper: tamper.reseal({"MLmodel": MODEL["MLmodel"]}),
    }


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("change", damaged_seals())
def test_manifest_that_is_not_the_versions_is_told(
    registry: Registry, model: Path, tmp_path: Path, change: str, check: str
) -> None:
    """Also one that fits files that were replaced with it: the version knows its digest."""
    version = registry.create_model_version("churn", source=str(model))
    tamper = Tamper(registry, version)
    if change == "of other files":
        tamper.put("MLmodel", b"evil")
    damaged_seals()[change](tamper)
    with pytest.raises(ArtifactMismatchError, match="manifest"):
        CHECKS[check](registry, tmp_path / "out")
    assert not (tmp_path / "out").exists() or read_tree(tmp_path / "out") == {}


def test_untouched_version_is_verified(registry: Registry, model: Path, tmp_path: Path) -> None:
    """And what is pulled is what was pushed."""
    version = registry.create_model_version("churn", source=str(model))
    assert registry.verify_model_version("churn", 1).size == sum(map(len, MODEL.values()))
    manifest = registry.pull_model_version("churn", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == MODEL
    assert manifest.digest == version.tags["registry.artifacts.digest"]


@pytest.mark.parametrize("change", ["added", "removed", "truncated"])
def test_fsck_sees_without_reading(registry: Registry, model: Path, change: str) -> None:
    """By names and sizes; a repair cannot bring bytes back, and says so."""
    version = registry.create_model_version("churn", source=str(model))
    CHANGES[change][0](Tamper(registry, version))
    problems = {"added": "added-file", "removed": "missing-bytes", "truncated": "changed-file"}
    for repair in (False, True):
        (finding,) = registry.fsck(repair=repair, grace_seconds=0).findings
        assert (finding.problem, finding.subject) == (problems[change], "models:/churn/1")
        assert CHANGES[change][1][0][0] in finding.detail
        assert not finding.repairable
        assert not finding.repaired


@pytest.mark.parametrize("change", ["cut", "emptied", "removed", "closed again"])
def test_manifest_of_a_pushed_version_is_made_again(
    registry: Registry, model: Path, change: str
) -> None:
    """From bytes that prove to be the pushed ones."""
    version = registry.create_model_version("churn", source=str(model))
    damaged_seals()[change](Tamper(registry, version))
    assert not registry.fsck().clean
    assert registry.fsck(repair=True).clean
    assert registry.fsck().findings == ()
    registry.verify_model_version("churn", 1)


def test_manifest_is_not_made_again_from_other_bytes(registry: Registry, model: Path) -> None:
    """A repair guesses nothing."""
    version = registry.create_model_version("churn", source=str(model))
    tamper = Tamper(registry, version)
    damaged_seals()["cut"](tamper)
    tamper.put("MLmodel", b"evil")
    report = registry.fsck(repair=True)
    assert [finding.problem for finding in report.findings] == ["damaged-manifest"]
    assert not report.clean
    with pytest.raises(ArtifactMismatchError):
        registry.verify_model_version("churn", 1)


def test_pushing_again_heals(registry: Registry, model: Path) -> None:
    """Whoever still has the files brings them back, for every version that has them."""
    version = registry.create_model_version("churn", source=str(model))
    tamper = Tamper(registry, version)
    tamper.remove("MLmodel")
    tamper.put("data/evil.py", b"import os")
    tamper.put(WEIGHTS, b"short")
    registry.create_model_version("churn", source=str(model))
    registry.verify_model_version("churn", 1)
    registry.verify_model_version("churn", 2)
