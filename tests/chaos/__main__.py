"""`nox -s chaos` and `nox -s soak`: the long runs. `python -m chaos --help` lists what can be set."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaos import cluster, failover, s3, soak, sql
from chaos.judging import keep_if_broken, show
from services.patroni import PatroniCluster
from services.s3 import S3Server, bucket_name, launch

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Puts the stores under fire or load; 1 if anything broke a promise."""
    options = _options(arguments)
    good = [PARTS[part](options) for part in options.part or CHAOS]
    return 0 if all(good) else 1


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help=f"may be repeated; else {', '.join(CHAOS)}"
    )
    parser.add_argument(
        "--kind", action="append", choices=sql.MEANINGS, help="of fault on SQL; else all"
    )
    for option, kind, default, meaning in (
        ("seed", int, time.time_ns() % 1_000_000, "replays a run"),
        ("faults", int, 100, "of each kind, on SQL"),
        ("failovers", int, 10, "for each kind of fault, with two hosts and behind a proxy"),
        ("kills", int, 20, "of each kind, on the clusters"),
        ("clients", int, 6, "processes, on SQL"),
        ("workers", int, 2, "of the server, on SQL"),
        ("calls", int, 20_000, "of all processes, on S3"),
        ("processes", int, 8, "on S3"),
        ("fault-rate", float, 0.04, "share of requests, on S3"),
        ("calls-per-kill", int, 120, "on S3"),
        ("minutes", float, 30.0, "of the soak, for each store"),
    ):
        value = os.environ.get(f"CHAOS_{option.upper().replace('-', '_')}", default)
        parser.add_argument(
            f"--{option}", type=kind, default=kind(value), help=f"{meaning} ({default})"
        )
    return parser.parse_args(arguments)


def _s3(options: Options) -> bool:
    plan = s3.Plan(
        seed=options.seed,
        calls=options.calls,
        processes=options.processes,
        fault_rate=options.fault_rate,
        calls_per_kill=options.calls_per_kill,
    )
    print(f"s3, seed {plan.seed}: {plan.calls} calls by {plan.processes} processes", flush=True)
    with ExitStack() as stack:
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        server = launch(stack)
        _prepare(server, monkeypatch)
        return keep_if_broken(lambda directory: _endure_s3(server, plan, directory))


def _prepare(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in server.environment().items():
        monkeypatch.setenv(key, value)
    client = server.client()
    client.create_bucket(Bucket=bucket_name())
    client.close()


def _endure_s3(server: S3Server, plan: s3.Plan, directory: Path) -> bool:
    result = s3.endure(server.endpoint_url, plan, directory)
    verdict = result.verdict
    print(f"{verdict.calls} calls in {result.seconds:.0f} s: {verdict.acknowledged} with an")
    print(f"outcome, {verdict.unknown} without; {result.kills} processes killed;")
    print(f"{result.requests} requests, {sum(result.faults.values())} with a fault:")
    print(dict(sorted(result.faults.items())))
    show(verdict)
    for finding in result.fsck:
        print(f"fsck: {finding}")
    print(f"s3, seed {plan.seed}: {'linearizable, and clean' if result.good else 'BROKEN'}")
    return result.good


def _sql(endure: Callable[[sql.Plan, Path], sql.Result], options: Options) -> bool:
    plan = sql.Plan(
        seed=options.seed,
        faults=options.faults,
        kinds=tuple(options.kind or ()),
        clients=options.clients,
        workers=options.workers,
    )
    print(f"sql, seed {plan.seed}: {plan.faults} faults of each kind", flush=True)
    return keep_if_broken(lambda directory: _show_sql(endure(plan, directory)))


def _failover(options: Options) -> bool:
    plan = sql.Plan(
        seed=options.seed,
        faults=options.failovers,
        kinds=tuple(options.kind or ()),
        clients=options.clients,
        workers=options.workers,
        recovery_seconds=failover.RECOVERY_SECONDS,
    )
    good = True
    for endure in (failover.endure_by_hosts, failover.endure_by_proxy):
        print(f"failover, seed {plan.seed}: {plan.faults} of each kind", flush=True)
        good &= keep_if_broken(lambda directory: _show_sql(endure(plan, directory)))  # noqa: B023 called at once
    return good


def _cluster(endure: Callable[[sql.Plan, Path], cluster.ClusterResult], options: Options) -> bool:
    plan = sql.Plan(
        seed=options.seed,
        faults=options.kills,
        kinds=tuple(options.kind or ()),
        clients=options.clients,
        recovery_seconds=cluster.WRITING_SECONDS,
    )
    print(f"cluster, seed {plan.seed}: {plan.faults} faults of each kind", flush=True)

    def run(directory: Path) -> bool:
        result = endure(plan, directory)
        print("\n".join(result.notes()))
        return _show_sql(result)

    return keep_if_broken(run)


def _show_sql(result: sql.Result) -> bool:
    verdict = result.verdict
    print(f"{verdict.calls} calls in {result.seconds:.0f} s: {verdict.acknowledged} with an")
    print(f"outcome, {verdict.unknown} without, on {result.families} families of models;")
    print(f"{result.probes} acknowledged versions of one model beside them.\n")
    print(f"{result.table()}\n")
    show(verdict)
    for finding in result.findings:
        print(finding)
    good = "linearizable, and recovered" if result.good else "BROKEN"
    print(f"{result.store}, seed {result.plan.seed}: {good}", flush=True)
    return result.good


def _soak(options: Options) -> bool:
    load = soak.Load(seed=options.seed, minutes=options.minutes, workers=options.workers)
    good = True
    for opened in (soak.postgresql, soak.sqlite):
        with opened() as database:
            print(f"{database.name}, seed {load.seed}: {load.minutes:g} minutes", flush=True)
            report = soak.soak(database, load)
        print(f"{report.table()}\n")
        print("\n".join(report.findings()) or f"{database.name}: nothing grows", flush=True)
        good &= not report.findings()
    return good


def _reads(_: Options) -> bool:
    with PatroniCluster() as database:
        for servers, rate in cluster.reads_by_servers(database.url).items():
            print(f"patroni: {servers} server(s): {rate:,.0f} reads/s", flush=True)
    return True


PARTS: dict[str, Callable[[Options], bool]] = {
    "s3": _s3,
    "postgresql": lambda options: _sql(sql.endure_postgresql, options),
    "sqlite": lambda options: _sql(sql.endure_sqlite, options),
    "failover": _failover,
    "patroni": lambda options: _cluster(cluster.endure_patroni, options),
    "seaweed": lambda options: _cluster(cluster.endure_seaweed, options),
    "reads": _reads,
    "soak": _soak,
}

CHAOS = ("s3", "postgresql", "sqlite", "failover")
"""The parts that something is broken in."""


if __name__ == "__main__":
    sys.exit(main())
