"""Kills a process at every single step of what it does to a registry, and looks what is left.

`python -m services.crashing STRIDE STORE ARTIFACTS SCENARIO...` prints one line of JSON for each step,
or for each second, third one ... with a stride of 2, 3 ..., and for the end; both URLs have `{n}` where a name of its own for the step belongs, or `{d}` for a directory of its own. A
process of its own, because it forks: what is killed is gone, with all its `finally`s.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn

from registry_core import ModelVersion, NotFoundError, Registry, RegistryError, Status, open_store
from registry_core.artifacts import FileWriter, write_all
from registry_core.artifacts.versions import leases
from registry_core.backends import open_artifacts
from registry_core.stores.memory import MemoryStore
from registry_server import Settings, create_app
from services.artifacts import PREFIX, all_bytes, write_tree
from services.forwarding import forward
from services.ports import free_port

KILLED = 9
MODEL = {"MLmodel": b"flavors: {}\n", "data/weights.bin": b"w" * 9_000}

_STORE_STEPS = frozenset({"apply"})
_ARTIFACT_STEPS = frozenset(
    {"remove", "delete", "complete_multipart", "drop_partial", "create_multipart"}
)


class Steps:
    """Counts the moments at which a process may die, and dies at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self._last = last
        self._count = 0
        self._lock = threading.Lock()

    def point(self) -> None:
        """One of those moments."""
        with self._lock:
            self._count += 1
            if self._count == self._last:
                os._exit(KILLED)


class Stepping:
    """Passes everything on; before and after each change it may die."""

    def __init__(self, inner: Any, steps: Steps, changes: frozenset[str]) -> None:
        self._inner = inner
        self._steps = steps
        self._changes = changes
        forward(self, inner, self._stepping)

    def _stepping(self, name: str, value: Any) -> Any:
        if name not in self._changes:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._steps.point()
            result = value(*args, **kwargs)
            self._steps.point()
            return result

        return call


class SteppingArtifacts(Stepping):
    """As `Stepping`; a write may also die in its middle, when half of the bytes are there."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        super().__init__(inner, steps, _ARTIFACT_STEPS)

    def write(self, path: str, chunks: Iterable[bytes], **options: Any) -> Any:
        return write_all(self.writer(path, **options), chunks)

    def writer(self, path: str, **options: Any) -> Any:
        return FileWriter(self._writing(path, options))

    def _writing(self, path: str, options: dict[str, Any]) -> Any:
        self._steps.point()
        inner = self._inner.writer(path, **options)
        try:
            while (chunk := (yield)) is not None:
                inner.write(chunk[: len(chunk) // 2])
                self._steps.point()
                inner.write(chunk[len(chunk) // 2 :])
            written = inner.commit()
        finally:
            inner.abort()
        self._steps.point()
        return written


class World:
    """The stores of one step."""

    def __init__(self, store: str, artifacts: str, directory: Path) -> None:
        self.store_url = store
        self.artifacts_url = artifacts
        self.model = write_tree(directory / "model", MODEL)

    @classmethod
    def at(cls, store: str, artifacts: str, directory: Path, name: str) -> Self:
        """The stores whose URLs are made of a directory, or of a name, of their own."""
        urls = (url.format(n=name, d=directory) for url in (store, artifacts))
        return cls(*urls, directory)

    def open(self, steps: Steps | None = None, **options: Any) -> Registry:
        """The registry; with `steps` it may die."""
        store: Any = open_store(self.store_url)
        artifacts: Any = open_artifacts(self.artifacts_url)
        if steps is not None:
            store = Stepping(store, steps, _STORE_STEPS)
            artifacts = SteppingArtifacts(artifacts, steps)
        return Registry(store, artifacts=artifacts, **options)


Act = Callable[[World, Registry], object]


def nothing(world: World, registry: Registry) -> None:
    registry.create_registered_model("churn")


def push(world: World, registry: Registry) -> None:
    registry.create_model_version("churn", source=str(world.model))


def pushed(world: World, registry: Registry) -> None:
    nothing(world, registry)
    push(world, registry)


def two_models(world: World, registry: Registry) -> None:
    pushed(world, registry)
    registry.create_registered_model("other")
    registry.create_model_version("other", source=str(world.model))


def delete(world: World, registry: Registry) -> None:
    with contextlib.suppress(NotFoundError):  # it was deleted before the crash
        registry.delete_model_version("churn", 1)
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)


def delete_model(world: World, registry: Registry) -> None:
    with contextlib.suppress(NotFoundError):
        registry.delete_registered_model("churn")
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)


def uploaded(world: World, registry: Registry) -> None:
    nothing(world, registry)
    upload(world, registry)


def upload(world: World, registry: Registry) -> None:
    for path, body in MODEL.items():
        registry.files.write(f"up/{path}", [body])


def register(world: World, registry: Registry) -> None:
    registry.create_model_version("churn", source=f"{registry.artifacts.root}/up")


def copy(world: World, registry: Registry) -> None:
    registry.create_model_version("churn", source="models:/churn/1")


def remove_upload(world: World, registry: Registry) -> None:
    registry.files.delete("up")


SCENARIOS: dict[str, tuple[Act, Act, Act | None]] = {
    "push": (nothing, push, push),
    "push again": (pushed, push, push),
    "delete": (two_models, delete, delete),
    "delete model": (two_models, delete_model, delete_model),
    "upload": (nothing, upload, None),
    "register": (uploaded, register, None),
    "copy": (pushed, copy, copy),
    "remove upload": (uploaded, remove_upload, remove_upload),
}
"""What is there before, what is done by the process that dies, and what can be done again."""

SERVER = "server"
"""The scenario in which it is the server that dies, while a client uploads, registers and deletes."""

SCENARIO_NAMES = (*SCENARIOS, SERVER)
"""All of them."""


def in_child(world: World, act: Act, last: int) -> bool:
    """Whether the act ended before the step at which its process was to die."""
    pid = os.fork()
    if pid == 0:
        try:
            with world.open(Steps(last)) as registry:
                act(world, registry)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 a child that fails must not go on as the parent
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (0, KILLED):
        raise SystemExit(f"step {last} failed with {code}")
    return code == 0


# The server


def serve(world: World, last: int, port: int) -> int:
    """The process of a server that dies at a step."""
    pid = os.fork()
    if pid == 0:
        registry = world.open(Steps(last), local_sources=False)
        app = create_app(registry, Settings(threads=2))
        config = uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="on")
        uvicorn.Server(config).run()
        os._exit(0)
    return pid


def request(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """The body of the answer.

    Raises:
        OSError: the server died.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.read()!r}")
        return answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError from error
    finally:
        connection.close()


def session(world: World, port: int) -> None:
    """What a client does: upload, register, remove what it may, delete."""
    with world.open() as registry:
        root = registry.artifacts.root
    for path, body in MODEL.items():
        request(port, "PUT", f"{PREFIX}/artifacts/up/{path}", body)
    create = json.dumps({"name": "churn", "source": f"{root}/up"}).encode()
    request(port, "POST", "/api/2.0/mlflow/model-versions/create", create)
    request(port, "PUT", f"{PREFIX}/artifacts/scratch/f", b"1")
    request(port, "DELETE", f"{PREFIX}/artifacts/scratch")
    version = json.dumps({"name": "churn", "version": "1"}).encode()
    request(port, "DELETE", "/api/2.0/mlflow/model-versions/delete", version)


def with_server(world: World, last: int) -> bool:
    """Whether the client's session ended before the server died."""
    port = free_port()
    pid = serve(world, last, port)
    deadline = time.monotonic() + 60
    while True:
        try:
            request(port, "GET", "/health")
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    try:
        session(world, port)
    except OSError:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == KILLED, code
        return False
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return True


# What is left


def truth(registry: Registry) -> set[tuple[str, str]]:
    """What is wrong, worked out from every byte and version, without the code under test."""
    root = registry.artifacts.root
    present = all_bytes(registry.artifacts)
    seals = {
        path.removeprefix(".registry/manifests/").removesuffix("/manifest.json"): body
        for path, body in present.items()
        if path.startswith(".registry/manifests/")
    }
    files = {path: body for path, body in present.items() if not path.startswith(".registry/")}
    found, needed = set(), set()
    for version in registry.iter_model_versions():
        folder = version.download_uri.removeprefix(f"{root}/")
        if version.status is not Status.FAILED_REGISTRATION:
            needed.add(folder)
        name = f"models:/{version.name}/{version.version}"
        found |= {(problem, name) for problem in wrong_with(version, folder, files, seals)}
    for path in [*files, *seals]:
        if not any(f"{path}/".startswith(f"{folder}/") for folder in needed):
            found.add(("unreferenced-files", "/".join(path.split("/")[:2])))
    announced = (".registry/collectors/", ".registry/writers/", ".registry/clock/")
    if any(path.startswith(announced) for path in present) or partial_writes(registry):
        found.add(("partial-writes", root))
    return found


def wrong_with(
    version: ModelVersion, folder: str, files: Mapping[str, bytes], seals: Mapping[str, bytes]
) -> Iterator[str]:
    """What is wrong with one version, by the bytes of all files and seals."""
    if version.status is Status.PENDING_REGISTRATION:
        yield "abandoned-upload"
    elif version.status is Status.READY:
        if b'"files"' not in seals.get(folder, b""):
            yield "unsealed"
        if any(files.get(f"{folder}/{path}") != body for path, body in MODEL.items()):
            yield "missing-bytes"


def partial_writes(registry: Registry) -> bool:
    """Whether there is a part of a file, by the backend's own means."""
    root = registry.artifacts.root
    if root.startswith("file:"):
        return any(Path(root.removeprefix("file://"), ".registry/partial").glob("*"))
    return registry.artifacts.drop_partial(before=2**60, dry_run=True) > 0


def reported(registry: Registry, *, repair: bool = False) -> set[tuple[str, str]]:
    """What fsck says of the files; a repair goes over the metadata, too, as a user's does."""
    if repair:
        report = registry.fsck(repair=True, grace_seconds=0)
    else:
        # That is the same for files. Checking the metadata costs more than all the rest, and its
        # leftovers are the metadata store's own tests' business.
        report = registry.files.fsck(grace_seconds=0, garbage_grace_seconds=0)
    ours = {"abandoned-upload", "unsealed", "missing-bytes", "unreferenced-files", "partial-writes",
            "damaged-manifest", "changed-file", "added-file", "other-manifest"}  # fmt: skip
    return {(f.problem, f.subject) for f in report.findings if f.problem in ours}


def look(world: World, act: Act | None) -> dict[str, Any]:
    """What is left, what fsck says of it, what a repair makes of it, and whether it goes on."""
    time.sleep(0.01)  # a version is older than no time at all
    out: dict[str, Any] = {}
    with world.open() as registry:
        out["truth"] = sorted(truth(registry))
        if registry.artifacts.root.startswith("s3:") and any(
            "partial" in p for p, _ in out["truth"]
        ):
            time.sleep(
                1.1
            )  # a bucket's clock has whole seconds, and of the same one nothing is old
        out["reported"] = sorted(reported(registry))
        out["repaired"] = sorted(reported(registry, repair=True))
        out["left"] = sorted(truth(registry) | reported(registry))
        out["broken"] = []
        for version in registry.iter_model_versions():
            if version.status is Status.READY:
                try:
                    registry.verify_model_version(version.name, version.version)
                except RegistryError as error:
                    out["broken"].append(str(error))
        out["statuses"] = [str(version.status) for version in registry.iter_model_versions()]
        if act is not None:
            try:
                act(world, registry)
                out["after"] = sorted(truth(registry))
            except RegistryError as error:
                out["after"] = repr(error)
    return out


def main() -> None:
    """Enumerates the steps of some scenarios, all or each so many-th."""
    stride, store, artifacts, *scenarios = sys.argv[1:]
    if SERVER in scenarios:
        # What the first application imports is then there in each server that is forked.
        create_app(Registry(MemoryStore()), Settings())
    for scenario in scenarios:
        enumerate_steps(scenario, store, artifacts, int(stride))


def enumerate_steps(scenario: str, store: str, artifacts: str, stride: int) -> None:
    """Prints what is left after the steps of a scenario; the last one is its end."""
    with tempfile.TemporaryDirectory() as home:
        furnished = Furnished(scenario, store, artifacts, Path(home))
        for last in range(1, 500, stride):
            world = furnished.world(last)
            leases.DEAD_AFTER_SECONDS = 600.0
            if scenario == SERVER:
                ended, again = with_server(world, last), None
            else:
                _, act, again = SCENARIOS[scenario]
                ended = in_child(world, act, last)
            # Nobody but us is alive, and we know it.
            leases.DEAD_AFTER_SECONDS = 0.0
            record = {"scenario": scenario, "step": last, "ended": ended, **look(world, again)}
            print(json.dumps(record), flush=True)
            if ended:
                return
    raise SystemExit("the steps do not end")


class Furnished:
    """Stores with what is there before the act, new for each step.

    Those that are nothing but files are made once, and copied back to the same place.
    """

    def __init__(self, scenario: str, store: str, artifacts: str, home: Path) -> None:
        self._scenario = scenario
        self._store, self._artifacts = store, artifacts
        self._directory, self._before = home / "world", home / "before"
        self._is_files = all("{n}" not in url for url in (store, artifacts))

    def world(self, last: int) -> World:
        """The stores of a step."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._before.exists():
            shutil.copytree(self._before, self._directory)
            return self._made(last)
        self._directory.mkdir()
        world = self._made(last)
        with world.open() as registry:
            (nothing if self._scenario == SERVER else SCENARIOS[self._scenario][0])(world, registry)
        if self._is_files:
            shutil.copytree(self._directory, self._before)
        return world

    def _made(self, last: int) -> World:
        name = f"{os.getpid()}-{SCENARIO_NAMES.index(self._scenario)}-{last}"
        return World.at(self._store, self._artifacts, self._directory, name)


if __name__ == "__main__":
    main()
