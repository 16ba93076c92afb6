"""`nox -s chaos`: the long runs. `python -m chaos --help` lists what can be set."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack

import pytest

from chaos.s3 import Plan, Result, endure, logs
from services.s3 import S3Server, bucket_name, launch


def main() -> int:
    """Runs the S3 store under fire; 1 if the history shows that it broke a promise."""
    plan = _plan()
    print(f"seed {plan.seed}: {plan.calls} calls by {plan.processes} processes", flush=True)
    with ExitStack() as stack:
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        server = launch(stack)
        _prepare(server, monkeypatch)
        directory = stack.enter_context(logs())
        result = endure(server.endpoint_url, plan, directory)
        _show(result)
        if not result.good:
            print(f"the history is in {directory}")
            os._exit(1)  # keeps it
    return 0


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    environ = os.environ
    for option, kind, default in (
        ("seed", int, time.time_ns() % 1_000_000),
        ("calls", int, 20_000),
        ("processes", int, 8),
        ("fault-rate", float, 0.04),
        ("calls-per-kill", int, 120),
    ):
        given = environ.get(f"CHAOS_{option.upper().replace('-', '_')}", default)
        parser.add_argument(f"--{option}", type=kind, default=kind(given))
    given = parser.parse_args()
    return Plan(
        seed=given.seed,
        calls=given.calls,
        processes=given.processes,
        fault_rate=given.fault_rate,
        calls_per_kill=given.calls_per_kill,
    )


def _prepare(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in server.environment().items():
        monkeypatch.setenv(key, value)
    client = server.client()
    client.create_bucket(Bucket=bucket_name())
    client.close()


def _show(result: Result) -> None:
    print(f"{result.calls} calls in {result.seconds:.0f} s: {result.acknowledged} with an outcome,")
    print(f"{result.unknown} without; {result.kills} processes killed; {result.requests} requests,")
    print(f"{sum(result.faults.values())} with a fault: {dict(sorted(result.faults.items()))}")
    for family, found in result.violations.items():
        print(f"{family} is not linearizable: {found.explained} of {found.total} calls explained")
        print(f"  state: {found.state}")
        for call in found.stuck:
            print(f"  stuck: {call}")
    for finding in result.fsck:
        print(f"fsck: {finding}")
    verdict = "linearizable, and clean" if result.good else "BROKEN"
    print(f"seed {result.plan.seed}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
