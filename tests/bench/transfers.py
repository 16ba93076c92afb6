"""Push and pull through our server, against MLflow's client that moves the same through it.

`python -m bench.transfers`: one large file, then many small ones, with MLflow's client first in
every other round. What counts is the median, and the bar is 0.8 of MLflow's rate. `--mib 5120` is
the size of the bar; `--s3` keeps the files in a bucket instead of a directory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from registry_core import open_registry
from services import s3
from services.registry_server import QUIET, RegistryServer

PIECE = 1024 * 1024
SMALL_BYTES = 8 * 1024
BAR = 0.8
"""Of the rate of MLflow's client."""


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

    def __init__(self, url: str) -> None:
        self._url = url
        self._registry = open_registry(url)
        self._registry.ping()

    def ours(self, folder: Path, back: Path) -> tuple[float, float]:
        """How long a push and a pull take."""
        name = f"m-{uuid.uuid4().hex[:8]}"
        up = seconds(lambda: self._registry.push_model_version(name, folder, create=True))
        return up, seconds(lambda: self._registry.pull_model_version(name, 1, back))

    def mlflow(self, folder: Path, back: Path) -> tuple[float, float]:
        """As `ours`, with MLflow's client, which verifies nothing."""
        address = self._url.removeprefix("http://")
        root = f"mlflow-artifacts://{address}/mlflow-{uuid.uuid4().hex[:8]}"
        repository = MlflowArtifactsRepository(root, tracking_uri=self._url)
        back.mkdir()
        up = seconds(lambda: repository.log_artifacts(str(folder)))
        return up, seconds(lambda: repository.download_artifacts("", str(back)))


def measure(
    clients: Clients, directory: Path, rounds: int, write: Callable[[Path], None]
) -> dict[str, tuple[float, float]]:
    """The median seconds of a push and a pull with each client."""
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "mlflow": []}
    for turn in range(rounds):
        folder = directory / "model"
        write(folder)
        for name in ("ours", "mlflow") if turn % 2 else ("mlflow", "ours"):
            back = directory / "back"
            times[name].append(getattr(clients, name)(folder, back))
            shutil.rmtree(back)
        shutil.rmtree(folder)
    return {
        name: (statistics.median(up for up, _ in found), statistics.median(d for _, d in found))
        for name, found in times.items()
    }


def report(what: str, amount: float, unit: str, found: dict[str, tuple[float, float]]) -> None:
    """Print the rates, and how ours compare."""
    for place, direction in enumerate(("push", "pull")):
        ours, theirs = found["ours"][place], found["mlflow"][place]
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
    parser.add_argument("--files", type=int, default=2_000, help="small files; 0 for none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--s3", action="store_true", help="keep the files in a bucket")
    parser.add_argument("--directory", type=Path, help="where files lie, if not in TMPDIR")
    options = parser.parse_args()
    os.environ.update(QUIET)
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory)
        directory = Path(stack.enter_context(made))
        root = str(directory / "root")
        if options.s3:
            bucket = s3.launch(stack)
            os.environ.update(bucket.environment())
            client = bucket.client()
            client.create_bucket(Bucket=s3.bucket_name())
            client.close()
            root = s3.store_url(bucket.endpoint_url, f"b-{uuid.uuid4().hex[:8]}")
        store = f"sqlite:///{directory / 'registry.db'}"
        server = stack.enter_context(RegistryServer(store, arguments=("--artifacts", root)))
        clients = Clients(server.url)
        if options.files:
            found = measure(
                clients, directory, options.rounds, lambda to: write_small(to, options.files)
            )
            report(f"{options.files} files", options.files, "files", found)
        if options.mib:
            found = measure(
                clients, directory, options.rounds, lambda to: write_large(to, options.mib)
            )
            report(f"{options.mib} MiB", options.mib, "MiB", found)


if __name__ == "__main__":
    main()
