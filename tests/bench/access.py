"""What access and metrics cost: `python -m bench.access [--stores sqlite,postgresql] [--rounds N] ...`.

Servers over one registry take turns under the same load, one request at a time answered by the same
statement: one that asks nobody; some with an access file, of few grants and of many; and one whose
requests are counted beside one whose are not. The caller has 20 patterns, each for a hundredth of the
models. `get` is of one model, `page` a search of 100, `last` the same from the other end, and `pieces`
that of a caller whose 20 patterns have ten models each, so that a page is put together from eleven.

The cost is the median of what each round gives: the processor time of a request, that of the database
included, in that of the server before it in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from bench import data, load
from registry_core import open_store
from services import postgres
from services.registry_server import RegistryServer, ServerProcess

TOKENS = {"bench": "a token of the benchmark", "scattered": "another token of the benchmark"}
"""By the name of the caller."""

PATTERNS = 20

SEARCH = "/api/2.0/mlflow/registered-models/search?max_results=100"

OPERATIONS = {
    "get": ("bench", "/api/2.0/mlflow/registered-models/get?name={name}"),
    "page": ("bench", SEARCH),
    "last": ("bench", f"{SEARCH}&order_by=name+DESC"),
    "pieces": ("scattered", SEARCH),
}
"""Who asks for what."""


@attrs.frozen(kw_only=True)
class Case:
    """One server, and the one that it is compared with."""

    name: str
    server: RegistryServer
    beside: str | None = None


@attrs.frozen(kw_only=True)
class Cost:
    """What one operation costs one server: medians of the rounds."""

    store: str
    models: int
    operation: str
    server: str
    per_second: float
    cpu_us: float
    database_cpu_us: float
    cost: float | None
    """More than beside it, as a share; None of the first one."""


def patterns(models: int) -> Mapping[str, Sequence[str]]:
    """What each caller may read, of a power of ten models that are called by their numbers."""
    width = data.DIGITS + 1 - len(str(models // 100))
    step = models // (PATTERNS * 10 + 50)
    numbers = range(1, PATTERNS + 1)
    return {
        "bench": [f"model-{number:0{width}}*" for number in numbers],
        "scattered": [f"model-{number * step:0{data.DIGITS - 1}}*" for number in numbers],
    }


def access_file(directory: Path, *, grants: int, models: int) -> str:
    """A file of so many grants, of which the callers of the benchmark have one each."""
    lines = []
    for user, listed in patterns(models).items():
        digest = hashlib.sha256(TOKENS[user].encode()).hexdigest()
        quoted = ", ".join(f'"{each}"' for each in listed)
        lines.append(f'[user.{user}]\ntokens = ["sha256:{digest}"]')
        lines.append(f'[[grant]]\nusers = ["{user}"]\nrole = "reader"\nmodels = [{quoted}]')
    lines += [
        f'[[grant]]\nusers = ["user{number}"]\nrole = "writer"\nmodels = ["team{number}-*"]'
        for number in range(grants - len(TOKENS))
    ]
    path = directory / f"access-{grants}.toml"
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return str(path)


class CountedServer(RegistryServer):
    """A server of `bench.counted`, which may count nothing."""

    def __init__(self, store: str, *, is_counting: bool) -> None:
        environment = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        super().__init__(store, arguments=("--artifacts", "none"), environment=environment)
        arguments = self._command[self._command.index("registry_server") + 1 :]
        counts = "on" if is_counting else "off"
        self._command = [sys.executable, "-m", "bench.counted", counts, *arguments]

    _launch = ServerProcess._launch


def cases(
    store: str, directory: Path, *, models: int, grants: Sequence[int], metrics: bool
) -> Sequence[Case]:
    """The servers, each behind the one that it is compared with."""
    alone = ("--artifacts", "none")
    found = [Case(name="asks nobody", server=RegistryServer(store, arguments=alone))]
    for count in grants:
        file = access_file(directory, grants=count, models=models)
        server = RegistryServer(store, arguments=("--access-file", file, *alone))
        found.append(Case(name=f"{count:,} grants", server=server, beside="asks nobody"))
    if metrics:
        off, on = (CountedServer(store, is_counting=which) for which in (False, True))
        found.append(Case(name="no metrics", server=off))
        found.append(Case(name="metrics", server=on, beside="no metrics"))
    return found


def measured(
    server: RegistryServer, database: int | None, operation: str, *, models: int, seconds: int
) -> tuple[float, float, float]:
    """Requests a second, and the CPU of the server and of the database for each, in microseconds."""
    user, path = OPERATIONS[operation]
    url = server.url + path.format(name=f"model-{models // 100 + 2:0{data.DIGITS}}")
    header = f"Authorization: Bearer {TOKENS[user]}"
    before = load.cpu_seconds(server.pid), load.cpu_seconds(database)
    done = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", header, url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    after = load.cpu_seconds(server.pid), load.cpu_seconds(database)
    assert "Non-2xx" not in done, done
    count = max(1, int(done.partition(" requests in ")[0].split()[-1]))
    rate = float(done.partition("Requests/sec:")[2].split()[0])
    return rate, *(1e6 * (now - then) / count for then, now in zip(before, after, strict=True))


def costs(
    store: str, database: int | None, models: int, options: argparse.Namespace
) -> Iterator[Cost]:
    """What each operation costs each server of a store."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = cases(
            store,
            directory,
            models=models,
            grants=options.grants,
            metrics=models == max(options.models),
        )
        for case in found:
            stack.enter_context(case.server)
        for operation in options.operations:
            rounds: dict[str, list[tuple[float, float, float]]] = {case.name: [] for case in found}
            for case in found:
                measured(case.server, database, operation, models=models, seconds=1)
            for _ in range(options.rounds):
                for case in found:
                    rounds[case.name].append(
                        measured(
                            case.server, database, operation, models=models, seconds=options.seconds
                        )
                    )
            for case in found:
                rate, cpu, of_database = map(
                    statistics.median, zip(*rounds[case.name], strict=True)
                )
                beside = None if case.beside is None else rounds[case.beside]
                yield Cost(
                    store=store.partition(":")[0],
                    models=models,
                    operation=operation,
                    server=case.name,
                    per_second=rate,
                    cpu_us=cpu,
                    database_cpu_us=of_database,
                    cost=None if beside is None else _more(rounds[case.name], beside),
                )


def _more(
    rounds: Sequence[tuple[float, float, float]], beside: Sequence[tuple[float, float, float]]
) -> float:
    """How much more processor time, by the median of the rounds."""
    pairs = zip(rounds, beside, strict=True)
    return statistics.median(sum(one[1:]) / sum(other[1:]) for one, other in pairs) - 1


@contextlib.contextmanager
def filled(kind: str, models: int) -> Iterator[tuple[str, int | None]]:
    """A store of so many models, and the process of its database."""
    with contextlib.ExitStack() as stack:
        database = None
        if kind == "sqlite":
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            url = f"sqlite:///{directory}/registry.db"
        else:
            server = stack.enter_context(postgres.PostgresServer(durable=True))
            url, database = stack.enter_context(postgres.fresh_database(server)), server.pid
        open_store(url).close()
        data.fill(url, data.OURS, models=models, versions=1)
        yield url, database


def main() -> None:
    """Prints a row for each operation and server."""
    parser = argparse.ArgumentParser()
    for option, default, convert, meaning in (
        ("stores", "sqlite,postgresql", str, "kinds of database"),
        ("models", "1000,100000", int, "powers of ten"),
        ("grants", "10,10000", int, "in the access file"),
        ("operations", ",".join(OPERATIONS), str, "of these"),
    ):
        parser.add_argument(
            f"--{option}",
            type=lambda text, convert=convert: [convert(item) for item in text.split(",")],
            default=[convert(item) for item in default.split(",")],
            help=f"{meaning} (default {default})",
        )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    options = parser.parse_args()
    load.require("wrk")
    print(f"{'':43} requests/s   CPU us  database   cost")
    for kind in options.stores:
        for models in options.models:
            with filled(kind, models) as (url, database):
                for each in costs(url, database, models, options):
                    cost = "" if each.cost is None else f"{each.cost:+7.1%}"
                    where = f"{each.store:10} {each.models:7,} {each.operation:6} {each.server:15}"
                    figures = (
                        f"{each.per_second:9.0f}/s {each.cpu_us:8.0f} {each.database_cpu_us:8.0f}"
                    )
                    print(f"{where} {figures} {cost}", flush=True)


if __name__ == "__main__":
    main()
