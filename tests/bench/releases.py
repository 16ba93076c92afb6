"""What a change of the code has cost: this checkout against another one, in turns, in one run.

    nox -s bench -- --parts releases --before ../checkout-of-the-release-before

Both servers run on this environment's Python and libraries, each over a database of its own with the
same content. Every round drives both, the one that goes first changing, and what counts is the median
of the rounds' ratios: a machine that is busy for a while is so for both. The processor time of a
request is of all rounds together, since it is counted in steps of 10 ms; it tells more than the
throughput does wherever something else runs.
"""

import contextlib
import os
import statistics
import sys
from pathlib import Path

from bench import data, load, servers
from bench.operations import ask, operations
from services.ports import free_port
from services.registry_server import ServerProcess

MEASURED = (
    *("get model", "get version", "get by alias"),
    *("create model", "create version", "set tag", "set alias"),
)
"""The operations whose cost must not grow: those that are asked for most, and the small writes."""

READS_KEEP = 0.98
WRITES_KEEP = 0.80
"""What must be left of the throughput that there was before."""


class Checkout(ServerProcess):
    """The server of a checkout, whatever is installed."""

    def __init__(self, root, url):
        port = free_port()
        command = [sys.executable, "-m", "registry_server", "--store", url]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        sources = sorted(str(path) for path in Path(root).glob("packages/*/src"))
        if not sources:
            raise SystemExit(f"{root} is no checkout: it has no packages/*/src")
        super().__init__(command, port=port, environment={"PYTHONPATH": os.pathsep.join(sources)})


def run(options):
    """For each kind of database: each operation's figures before and now."""
    if options.before is None:
        raise SystemExit("Say with --before which checkout to compare with.")
    found = {}
    for kind in options.stores:
        with contextlib.ExitStack() as stack:
            databases = servers.Databases.temporary(stack, kind)
            found[kind] = _on(stack, databases, options)
        print(file=sys.stderr)
    return found


def _on(stack, databases, options):
    size = {"models": options.models, "versions": options.versions}
    roots = {"before": options.before, "now": Path(__file__).parents[2]}
    targets = {name: _target(stack, databases, name, root, size) for name, root in roots.items()}
    table = {}
    for operation in operations(**size):
        if operation.name not in MEASURED or options.only not in operation.name:
            continue
        for target in targets.values():
            ask(target.url, operation)
        table[operation.name] = _compared(targets, operation, options)
        print(".", end="", file=sys.stderr, flush=True)
    return table


def _target(stack, databases, name, root, size):
    url = databases.new()
    server = stack.enter_context(Checkout(root, url))
    data.fill_registry(url, _there(url), **size)
    return load.Target(name=name, url=server.url, pid=server.pid, database_pid=databases.pid)


def _there(url):
    """The columns that are ours alone, as far as the release on this database has them."""
    return {
        table: {name: value for name, value in columns.items() if name in data.columns(url, table)}
        for table, columns in data.OURS.items()
    }


def _compared(targets, operation, options):
    found = {name: [] for name in targets}
    for target in targets.values():
        load.run(target, operation, connections=8, seconds=load.WARM_UP_SECONDS)
    for number in range(options.rounds * 4):
        for name in list(targets)[:: -1 if number % 2 else 1]:
            one = load.run(targets[name], operation, connections=8, seconds=options.seconds)
            if one.failed:
                raise SystemExit(f"{operation.name}: {one.failed} requests failed {name}")
            found[name].append(one)
    rates = {name: [one.requests_per_second for one in runs] for name, runs in found.items()}
    ratios = [now / before for before, now in zip(rates["before"], rates["now"], strict=True)]
    return {
        "keep": WRITES_KEEP if operation.writes else READS_KEEP,
        "kept": round(statistics.median(ratios), 3),
        **{f"{name} per second": statistics.median(each) for name, each in rates.items()},
        **{f"{name} cpu_us": _of_all(runs, "cpu_us") for name, runs in found.items()},
        **{f"{name} database": _of_all(runs, "database_cpu_us") for name, runs in found.items()},
    }


def _of_all(runs, figure):
    """The processor time of a request in all runs together, in microseconds."""
    spent = sum(getattr(one, figure) * one.total for one in runs)
    return spent / max(1, sum(one.total for one in runs))
