"""Push and pull through our server, against MLflow's client that moves the same through it.

`python -m bench.transfers`: many small files, then one large one. Each client is first in every other
round, as what is read for the second time may be faster; what counts is the time of all rounds together,
and the bar is 0.8 of MLflow's rate. At the end a push of the large file is killed half-way, and goes on.
`--full` is the size of the bar, 5 GiB, and needs three times that of disk; `--s3` keeps the files in a
bucket instead of a directory. Whatever was moved is removed as soon as it was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from registry_core import open_registry
from registry_core.artifacts.paths import RESERVED
from registry_core.backends import open_artifacts
from services import s3
from services.registry_server import QUIET, RegistryServer

PIECE = 1024 * 1024
SMALL_BYTES = 8 * 1024
BAR = 0.8
"""Of the rate of MLflow's client."""

FULL_MIB = 5 * 1024

SECONDS = 600.0
"""For a push to come half-way."""


def write_large(folder: Path, mib: int) -> None:
    """One file, whose bytes are new each time: what is there already is not sent again."""
    folder.mkdir()
    block = secrets.token_bytes(PIECE)
    with (folder / "weights").open("wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") + block[8:])


def write_small(folder: Path, count: int) -> None:
    """Many files in a few folders."""
    for number in range(count):
        path = folder / f"{number % 20}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(SMALL_BYTES))


def seconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


class Clients:
    """Our client and MLflow's, on one server."""

    def __init__(self, url: str, root: str) -> None:
        self.url = url
        self._root = root
        self.registry = open_registry(url)
        self.registry.ping()

    def ours(self, folder: Path, back: Path) -> tuple[float, float]:
        """How long a push and a pull take."""
        name = f"m-{uuid.uuid4().hex[:8]}"
        up = seconds(lambda: self.registry.push_model_version(name, folder, create=True))
        return up, seconds(lambda: self.registry.pull_model_version(name, 1, back))

    def mlflow(self, folder: Path, back: Path) -> tuple[float, float]:
        """As `ours`, with MLflow's client, which verifies nothing."""
        address = self.url.removeprefix("http://")
        root = f"mlflow-artifacts://{address}/mlflow-{uuid.uuid4().hex[:8]}"
        repository = MlflowArtifactsRepository(root, tracking_uri=self.url)
        back.mkdir()
        up = seconds(lambda: repository.log_artifacts(str(folder)))
        return up, seconds(lambda: repository.download_artifacts("", str(back)))

    def forget(self) -> None:
        """Remove what was pushed: a disk has no room for all rounds."""
        with contextlib.closing(open_artifacts(self._root)) as artifacts:
            for folder in (info.path for info in artifacts.list("")):
                if folder != RESERVED:
                    artifacts.remove(info.path for info in [*artifacts.walk(folder)])

    def kept(self) -> int:
        """The bytes that the root holds, those of unfinished files included."""
        folder = Path(self._root)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(
    clients: Clients, directory: Path, rounds: int, write: Callable[[Path], None]
) -> dict[str, tuple[float, float]]:
    """The seconds of the pushes and the pulls of all rounds with each client."""
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "mlflow": []}
    for turn in range(rounds):
        with _written(directory / "model", write) as folder:
            for name in ("ours", "mlflow") if turn % 2 else ("mlflow", "ours"):
                back = directory / "back"
                times[name].append(getattr(clients, name)(folder, back))
                up, down = times[name][-1]
                print(f"  {name}: push {up:.1f} s, pull {down:.1f} s", flush=True)
                shutil.rmtree(back)
                clients.forget()
    return {
        name: (sum(up for up, _ in found), sum(down for _, down in found))
        for name, found in times.items()
    }


@contextlib.contextmanager
def _written(folder: Path, write: Callable[[Path], None]) -> Iterator[Path]:
    write(folder)
    os.sync()  # nobody waits for the disk in place of another
    yield folder
    shutil.rmtree(folder)


def resume(clients: Clients, directory: Path, mib: int) -> None:
    """Kill a push of the large file half-way, and push again."""
    arguments = ("--store", clients.url, "models", "push", "killed")
    with _written(directory / "model", lambda folder: write_large(folder, mib)) as folder:
        command = [sys.executable, "-m", "registry_cli", *arguments, str(folder), "--create"]
        pushing = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + SECONDS
        while (kept := clients.kept() // PIECE) < mib // 2:
            assert pushing.poll() is None, "it was through before it was killed"
            assert time.monotonic() < end, "the push does not get on"
            time.sleep(0.02)
        pushing.kill()
        pushing.wait()
        rest = seconds(lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL))
        versions = [*clients.registry.iter_model_versions("name = 'killed'")]
        assert len(versions) == 1, versions
        clients.registry.verify_model_version("killed", 1)
        print(f"killed with {kept} of {mib} MiB sent, a push went on and took {rest:.1f} s")
        clients.forget()


def report(
    what: str, amount: float, unit: str, rounds: int, found: dict[str, tuple[float, float]]
) -> None:
    """Print the rates, and how ours compare."""
    for place, direction in enumerate(("push", "pull")):
        ours, theirs = (found[name][place] / rounds for name in ("ours", "mlflow"))
        ratio = theirs / ours
        print(
            f"{direction} of {what}: {amount / ours:.0f} {unit}/s, MLflow's client "
            f"{amount / theirs:.0f} {unit}/s: {ratio:.2f} of it (bar {BAR})"
            f"{'' if ratio >= BAR else ' MISSED'}",
            flush=True,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="MiB of the large file; 0 for none")
    parser.add_argument("--full", action="store_true", help=f"{FULL_MIB} MiB, as the bar says")
    parser.add_argument("--files", type=int, default=2_000, help="small files; 0 for none")
    parser.add_argument("--rounds", type=int, default=2, help="an even number is fair")
    parser.add_argument("--s3", action="store_true", help="keep the files in a bucket")
    parser.add_argument("--directory", type=Path, help="where files lie, if not in TMPDIR")
    options = parser.parse_args()
    os.environ.update(QUIET)
    mib = FULL_MIB if options.full else options.mib
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory)
        directory = Path(stack.enter_context(made))
        root = _bucket(stack) if options.s3 else str(directory / "root")
        store = f"sqlite:///{directory / 'registry.db'}"
        server = stack.enter_context(RegistryServer(store, arguments=("--artifacts", root)))
        clients = Clients(server.url, root)
        if options.files:
            write = lambda to: write_small(to, options.files)  # noqa: E731
            found = measure(clients, directory, options.rounds, write)
            report(f"{options.files} files", options.files, "files", options.rounds, found)
        if mib:
            found = measure(clients, directory, options.rounds, lambda to: write_large(to, mib))
            report(f"{mib} MiB", mib, "MiB", options.rounds, found)
        if mib and not options.s3:
            resume(clients, directory, mib)


def _bucket(stack: contextlib.ExitStack) -> str:
    """The URL of an artifact root in a new bucket."""
    bucket = s3.launch(stack)
    os.environ.update(bucket.environment())
    client = bucket.client()
    client.create_bucket(Bucket=s3.bucket_name())
    client.close()
    return s3.store_url(bucket.endpoint_url, f"b-{uuid.uuid4().hex[:8]}")


if __name__ == "__main__":
    main()
