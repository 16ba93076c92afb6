"""Pushes, uploads, copies, deletions and collections of garbage at once: nothing alive is removed.

`REGISTRY_TEST_ARTIFACT_CALLS` sets the calls of each worker, `REGISTRY_TEST_SEED` the seed; many
calls need `-o faulthandler_timeout=3600`, too.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from registry_core import (
    AlreadyExistsError,
    ArtifactMismatchError,
    ConflictError,
    InvalidArgumentError,
    ModelVersion,
    NotFoundError,
    Registry,
    Status,
    open_registry,
)
from services.artifacts import artifact_url, write_tree

CALLS = int(os.environ.get("REGISTRY_TEST_ARTIFACT_CALLS", "20"))
"""Of each worker."""

SEED = int(os.environ.get("REGISTRY_TEST_SEED", "0"))
WORKERS = 6
NAMES = ("churn", "fraud")
BODIES = 3
"""Few, so that versions share their bytes and folders are made, collected and made again."""

WAYS = ("push", "upload", "copy", "delete", "delete model", "collect", "check")
WEIGHTS = (6, 3, 2, 5, 2, 5, 6)


class Worker:
    """Does random things to a registry, with a connection of its own."""

    def __init__(self, registry: Registry, trees: list[Path], seed: str) -> None:
        self._registry = registry
        self._trees = trees
        self._random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.broken: list[str] = []

    def run(self) -> None:
        """All its calls."""
        acts: dict[str, Callable[[str], object]] = {
            "push": self._push,
            "upload": self._upload,
            "copy": self._copy,
            "delete": self._delete,
            "delete model": self._registry.delete_registered_model,
            "collect": self._collect,
            "check": self._check,
        }
        for way in self._random.choices(WAYS, WEIGHTS, k=CALLS):
            try:
                acts[way](self._random.choice(NAMES))
            except (NotFoundError, ConflictError):
                # What others deleted, or took away in time: the call may be repeated.
                self.done[f"{way}, refused"] += 1
            else:
                self.done[way] += 1

    def _push(self, name: str) -> None:
        self._model(name)
        tree = self._random.choice(self._trees)
        self._registry.create_model_version(name, source=str(tree))

    def _upload(self, name: str) -> None:
        self._model(name)
        folder = f"up/{self._random.randrange(1000)}"
        if self._registry.files.sealed_by(folder) is not None:
            return
        files = self._registry.files
        for path in ("MLmodel", "data/weights.bin"):
            files.write(f"{folder}/{path}", [name.encode() * 100])
        # Collected before anybody referred to it: without a grace period that is right.
        with suppress(InvalidArgumentError):
            self._registry.create_model_version(name, source=f"{self._root}/{folder}")

    def _copy(self, name: str) -> None:
        if (version := self._any_version()) is not None:
            self._model(name)
            self._registry.create_model_version(
                name, source=f"models:/{version.name}/{version.version}"
            )

    def _delete(self, name: str) -> None:
        if (version := self._any_version()) is not None:
            self._registry.delete_model_version(version.name, version.version)

    def _collect(self, name: str) -> None:
        self._registry.files.collect_garbage(grace_seconds=0, dry_run=False)

    def _check(self, name: str) -> None:
        version = self._any_version()
        if version is None:
            return
        try:
            self._registry.verify_model_version(version.name, version.version)
        except ArtifactMismatchError as error:
            found = self._registry.get_model_version(version.name, version.version)
            if found.creation_timestamp == version.creation_timestamp:
                self.broken.append(str(error))

    def _any_version(self) -> ModelVersion | None:
        ready = [v for v in self._registry.iter_model_versions() if v.status is Status.READY]
        return self._random.choice(ready) if ready else None

    def _model(self, name: str) -> None:
        with suppress(AlreadyExistsError):
            self._registry.create_registered_model(name)

    @property
    def _root(self) -> str:
        assert self._registry.artifacts is not None
        return self._registry.artifacts.root


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_nothing_alive_is_removed(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """At any moment each READY version verifies, also without any grace period; so at the end."""
    store, root = f"sqlite:///{tmp_path / 'registry.db'}", artifact_url(kind, request)
    trees = [
        write_tree(tmp_path / f"m{n}", {"MLmodel": b"%d" % n, "data/w": bytes([n]) * 50_000})
        for n in range(BODIES)
    ]
    registries = [open_registry(store, artifacts=root) for _ in range(WORKERS)]
    workers = [Worker(each, trees, f"{SEED}-{n}") for n, each in enumerate(registries)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for future in [pool.submit(worker.run) for worker in workers]:
            future.result()
    registry = registries[0]
    done = sum((worker.done for worker in workers), Counter[str]())
    print(dict(sorted(done.items())))
    assert [problem for worker in workers for problem in worker.broken] == []
    for version in registry.iter_model_versions():
        assert version.status is not Status.PENDING_REGISTRATION
        if version.status is Status.READY:
            registry.verify_model_version(version.name, version.version)
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    assert registry.files.fsck(grace_seconds=0, garbage_grace_seconds=0).findings == ()
    for way in WAYS:
        assert done[way], f"no {way} succeeded"
    for each in registries:
        each.close()
