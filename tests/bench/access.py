"""What access costs: `python -m bench.access [--models N] [--grants N] [--rounds N] [--seconds S]`.

Two servers over one registry, one that asks nobody and one with an access file of many grants, under
the same load in turns; medians of the rounds. The caller has 20 patterns, each for 1,000 models of
100,000. `get` is of models at random, `page` a search of 100.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench import data, load
from registry_core import open_store
from services import postgres
from services.registry_server import RegistryServer

TOKEN = "a token of the benchmark"
PATTERNS = 20
PATHS = {
    "get": "/api/2.0/mlflow/registered-models/get?name=model-001{number}",
    "page": "/api/2.0/mlflow/registered-models/search?max_results=100",
    "last": "/api/2.0/mlflow/registered-models/search?max_results=100&order_by=name+DESC",
}


def access_file(directory: Path, grants: int) -> str:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    lines = [f'[user.bench]\ntokens = ["sha256:{digest}"]']
    lines += [
        f'[[grant]]\nusers = ["bench"]\nrole = "reader"\nmodels = ["model-0{number:02}*"]'
        for number in range(1, PATTERNS + 1)
    ]
    lines += [
        f'[[grant]]\nusers = ["user{number}"]\nrole = "writer"\nmodels = ["team{number}-*"]'
        for number in range(grants - PATTERNS)
    ]
    path = directory / "access.toml"
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return str(path)


def cost(server: RegistryServer, path: str, seconds: int) -> tuple[float, float]:
    """Requests a second, and the CPU of the server for each in microseconds."""
    url = server.url + path.format(number="042")
    before = load.cpu_seconds(server.pid)
    done = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", f"Authorization: Bearer {TOKEN}", url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    spent = load.cpu_seconds(server.pid) - before
    assert "Non-2xx" not in done, done
    count = int(done.partition(" requests in ")[0].split()[-1])
    return float(done.partition("Requests/sec:")[2].split()[0]), 1e6 * spent / max(1, count)


def measure(store: str, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = access_file(Path(directory), arguments.grants)
        asking = RegistryServer(store, arguments=("--access-file", file, "--artifacts", "none"))
        with RegistryServer(store, arguments=("--artifacts", "none")) as open_, asking:
            for what, path in PATHS.items():
                found = {"without": [], "with": []}
                for _ in range(arguments.rounds):
                    found["without"].append(cost(open_, path, arguments.seconds))
                    found["with"].append(cost(asking, path, arguments.seconds))
                for which, figures in found.items():
                    rate, cpu = (statistics.median(each) for each in zip(*figures, strict=True))
                    scheme = store.partition(":")[0]
                    print(f"{scheme:10} {what:5} {which:8} {rate:8.0f}/s {cpu:8.0f} us CPU")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--grants", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--stores", default="sqlite,postgresql")
    arguments = parser.parse_args()
    if "sqlite" in arguments.stores:
        with tempfile.TemporaryDirectory() as directory:
            url = f"sqlite:///{directory}/registry.db"
            open_store(url).close()
            data.fill(url, data.OURS, models=arguments.models, versions=1)
            measure(url, arguments)
    if "postgresql" in arguments.stores:
        with (
            postgres.PostgresServer(durable=True) as server,
            postgres.fresh_database(server) as url,
        ):
            open_store(url).close()
            data.fill(url, data.OURS, models=arguments.models, versions=1)
            measure(url, arguments)


if __name__ == "__main__":
    main()
