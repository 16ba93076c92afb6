"""Starts the servers, replays every sequence on all of them at once, and gathers the findings."""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from differential import deviations, generate
from differential.compare import Difference, Tally, compare, observe
from differential.replay import Outcome
from differential.report import Report
from differential.shrink import shrink
from differential.steps import Sequence
from services import postgres, s3
from services.registry_server import MlflowServer, RegistryServer
from services.wire_client import WireClient

REFERENCE = "mlflow"

REFERENCE_SECONDS = 60
"""Seconds in which the reference must say which release it is, on a busy machine."""

FINDINGS_OF_A_KIND = 2
"""Differences of one kind that are shrunk and shown; the others are only counted."""

PROGRESS_SEQUENCES = 50
"""Sequences after which a run tells how far it is."""


@attrs.frozen(kw_only=True)
class Settings:
    """What to replay, and where."""

    sequences: int = 100
    seed: int = 1
    length: int = 18
    stores: tuple[str, ...] = ("sqlite", "postgresql", "s3")
    clients: int = 2
    workers: int = 1
    shrink: bool = True
    mlflow_python: str = sys.executable
    """The interpreter of an environment with the release of MLflow that is the reference."""


@attrs.frozen
class Finding:
    """A difference on one store, from the sequence of that seed; None is a witness."""

    store: str
    seed: int | None
    difference: Difference


class Replayer:
    """Replays sequences on the reference and the targets by URL, each on connections of its own."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self.release = _release(urls[REFERENCE])
        self.allowed = deviations.from_release(self.release)
        self._local = threading.local()
        self._clients: list[WireClient] = []
        self._pool = ThreadPoolExecutor(4 * len(urls))

    def observe(self, sequence: Sequence, *servers: str) -> dict[str, list[Outcome]]:
        """What each server answered, the servers working at the same time."""
        mark = f"q{uuid.uuid4().hex[:11]}"
        futures = {
            server: self._pool.submit(self._observe, sequence, server, mark) for server in servers
        }
        return {server: future.result() for server, future in futures.items()}

    def difference(self, sequence: Sequence, store: str) -> Difference | None:
        """The first unlisted difference between the reference and one target."""
        seen = self.observe(sequence, REFERENCE, store)
        return compare(sequence, seen[REFERENCE], seen[store], Tally(allowed=self.allowed))

    def close(self) -> None:
        """Ends the threads and closes their connections."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()

    def _observe(self, sequence: Sequence, server: str, mark: str) -> list[Outcome]:
        clients = self._local.__dict__.setdefault("clients", {})
        if server not in clients:
            clients[server] = WireClient(self._urls[server])
            self._clients.append(clients[server])
        return observe(sequence, clients[server], mark)


def run(settings: Settings, progress: Callable[[Report], None] | None = None) -> Report:
    """The report of a run with servers of its own."""
    with _servers(settings) as urls:
        return replay_all(settings, urls, progress)


def replay_all(
    settings: Settings,
    urls: Mapping[str, str],
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """The report of a run on servers that answer at these URLs, by store, with the reference.

    `progress` is given the report so far from time to time, so that a run that is interrupted has
    not run for nothing.
    """
    start = time.monotonic()
    replayer = Replayer(urls)
    tallies = {store: Tally(allowed=replayer.allowed) for store in settings.stores}
    findings: list[Finding] = []
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    lock = threading.Lock()

    def check(seed: int | None, sequence: Sequence) -> None:
        seen = replayer.observe(sequence, REFERENCE, *settings.stores)
        for store in settings.stores:
            with lock:
                found = compare(sequence, seen[REFERENCE], seen[store], tallies[store])
                if found is None:
                    continue
                key = (store, *found.kind)
                counts[key] += 1
                if counts[key] > FINDINGS_OF_A_KIND:
                    continue
            if settings.shrink:
                found = shrink(found, lambda shorter, at=store: replayer.difference(shorter, at))
            with lock:
                findings.append(Finding(store, seed, found))

    def report() -> Report:
        return Report(
            settings=settings,
            release=replayer.release,
            tallies=tallies,
            findings=findings,
            counts=counts,
            seconds=time.monotonic() - start,
        )

    witnesses = [(None, deviation.witness) for deviation in replayer.allowed]
    seeds = range(settings.seed, settings.seed + settings.sequences)
    generated = ((seed, generate.sequence(seed, length=settings.length)) for seed in seeds)
    with contextlib.closing(replayer), ThreadPoolExecutor(settings.clients) as clients:
        for item in witnesses:
            check(*item)
        for done, _ in enumerate(clients.map(lambda item: check(*item), generated), 1):
            if progress and done % PROGRESS_SEQUENCES == 0:
                with lock:
                    progress(report())
    return report()


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reference = os.environ.get("REGISTRY_TEST_MLFLOW_URL")
        if reference is None:
            server = MlflowServer(directory, python=settings.mlflow_python)
            reference = stack.enter_context(server).url
        urls = {REFERENCE: reference}
        for store in settings.stores:
            url, environment = _store(store, directory, stack)
            ours = RegistryServer(url, workers=settings.workers, environment=environment)
            urls[store] = stack.enter_context(ours).url
        yield urls


def _release(url: str) -> str:
    """The release of the MLflow whose server answers there."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"{url}/version", timeout=REFERENCE_SECONDS
    ) as answer:
        release: str = answer.read().decode()
    return release


def _store(kind: str, directory: Path, stack: contextlib.ExitStack) -> tuple[str, dict[str, str]]:
    if kind == "memory":
        return "memory:", {}
    if kind == "sqlite":
        return f"sqlite:///{directory / 'registry.db'}", {}
    if kind == "postgresql":
        return stack.enter_context(postgres.PostgresServer()).url(), {}
    server = s3.launch(stack)
    client = server.client()
    client.create_bucket(Bucket=s3.BUCKET)
    client.close()
    return s3.store_url(server.endpoint_url, "differential", bucket=s3.BUCKET), server.environment()
