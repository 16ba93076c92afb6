"""The S3 store under fire: processes that are killed, behind a proxy that loses and forges.

Everything random comes from one seed, which is printed; the same seed gives the same calls, the
same faults in the order of requests, and kills after the same numbers of calls. What the scheduler
adds cannot be replayed, so a failed run keeps its history for the checker.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, MutableSequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attrs

from chaos.calls import make
from chaos.judging import Verdict, judge, reads
from chaos.worker import Course, Opener, family_name, run
from registry_core.store import Store
from services.opened import open_s3_store as open_store
from services.s3 import store_url
from services.s3_proxy import CONDITIONAL_ONLY, PASSING, Fault, Request, S3Proxy

POLL_SECONDS = 0.02

STUCK_SECONDS = 180.0
"""Seconds without a single call after which a run is given up."""


@attrs.frozen(kw_only=True)
class Plan:
    """How hard it is going to be."""

    seed: int
    calls: int = 20_000
    processes: int = 8
    calls_per_family: int = 160
    families_at_once: int = 4
    families_per_group: int = 8
    fault_rate: float = 0.04
    """The share of requests that something happens to."""
    calls_per_kill: int = 120
    """Calls, of all processes together, between two kills on average."""

    @property
    def course(self) -> Course:
        return Course(
            seed=self.seed,
            families=max(1, self.calls // self.calls_per_family),
            calls_per_family=self.calls_per_family,
            families_at_once=self.families_at_once,
            families_per_group=self.families_per_group,
        )


@attrs.define
class Result:
    """What a run showed."""

    plan: Plan
    seconds: float = 0.0
    kills: int = 0
    requests: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)
    verdict: Verdict | None = None
    fsck: list[str] = attrs.field(factory=list)
    """What a check found after a repair: nothing, if all is well."""

    @property
    def good(self) -> bool:
        return self.verdict is not None and self.verdict.good and not self.fsck


class Faults:
    """A plan for the proxy: faults at random, of every kind that fits the request."""

    def __init__(self, seed: int, rate: float) -> None:
        self._chance = random.Random(f"{seed}/faults")
        self._rate = rate
        self.injected: Counter[str] = Counter()
        self.on = True

    def __call__(self, request: Request) -> Fault | None:
        lot, fault = self._chance.random(), self._chance.choice(PASSING)
        if not self.on or lot >= self._rate:
            return None
        if fault in CONDITIONAL_ONLY and not request.is_conditional_write:
            return None
        self.injected[fault.name] += 1
        return fault


def endure(endpoint_url: str, plan: Plan, directory: Path, *, trusting: bool = False) -> Result:
    """Runs the plan against the server at `endpoint_url`, with logs in `directory`.

    A `trusting` store does not try the bucket first: for showing what becomes of it.
    """
    result = Result(plan=plan)
    faults = Faults(plan.seed, plan.fault_rate)
    base = f"chaos-{plan.seed}-{time.time_ns():x}"
    started = time.monotonic()
    with S3Proxy(endpoint_url, faults).running() as proxy:
        opener = functools.partial(_open, proxy.endpoint_url, base, trusting=trusting)
        result.kills = _Herd(plan, opener, directory).drive()
        faults.on = False
        proxy.await_late()
        result.requests = len(proxy.requests)
    result.faults = faults.injected
    _look(functools.partial(_open, endpoint_url, base, trusting=trusting), plan, directory, result)
    result.seconds = time.monotonic() - started
    result.verdict = judge(directory)
    return result


def _open(endpoint_url: str, base: str, group: str, *, trusting: bool) -> Store:
    store = open_store(store_url(endpoint_url, f"{base}/{group}"))
    if trusting:
        store._bucket.ready_to_read = store._bucket.ready_to_write = lambda: None
        # What a repair would try before it removes tombstones for good.
        store._bucket.deletes_on_condition = lambda: False
    return store


class _Herd:
    """The processes: started, killed at random, and started again."""

    def __init__(self, plan: Plan, opener: Opener, directory: Path) -> None:
        self._plan = plan
        self._opener = opener
        self._directory = directory
        self._chance = random.Random(f"{plan.seed}/kills")
        # Started from a process that has imported everything, a new one is at work at once.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.worker", "registry_core.stores.s3"])
        self._made: MutableSequence[int] = self._context.RawArray("q", plan.processes)
        self._lives = [0] * plan.processes

    def drive(self) -> int:
        """Returns when all calls are made; gives the number of processes that were killed."""
        with contextlib.ExitStack() as stack:
            herd = [self._start(slot) for slot in range(self._plan.processes)]
            stack.callback(lambda: [_end(process) for process in herd])
            kills = 0
            for total in self._milestones():
                while sum(self._made) < total and any(p.is_alive() for p in herd):
                    time.sleep(POLL_SECONDS)
                slot = self._chance.randrange(self._plan.processes)
                if total < self._plan.course.calls and herd[slot].is_alive():
                    _end(herd[slot])
                    herd[slot] = self._start(slot)
                    kills += 1
            for process in herd:
                process.join(STUCK_SECONDS)
                assert process.exitcode == 0, f"a process ended with {process.exitcode}"
        return kills

    def _milestones(self) -> Iterator[int]:
        total = 0
        while total < self._plan.course.calls:
            total += self._chance.randint(1, 2 * self._plan.calls_per_kill)
            yield min(total, self._plan.course.calls)

    def _start(self, slot: int) -> BaseProcess:
        life = self._lives[slot]
        self._lives[slot] += 1
        log = self._directory / f"{slot:02}-{life:03}.jsonl"
        process = self._context.Process(
            target=_run,
            args=(credentials(), self._opener, self._plan.course, self._made, slot, log),
        )
        process.start()
        return process


def credentials() -> dict[str, str]:
    """What this process lets itself into a bucket with."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def _run(environment: dict[str, str], *course: Any) -> None:
    # The server that forks has the environment of who had it started: maybe of another test, and
    # from before there was a bucket.
    os.environ.update(environment)
    run(*course)


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
    process.join()


def _look(opener: Opener, plan: Plan, directory: Path, result: Result) -> None:
    # Read everything once more, by a process that has seen nothing, and check every bucket.
    course = plan.course
    groups: dict[str, list[str]] = {}
    for number in range(course.families):
        groups.setdefault(course.group(number), []).append(family_name(number))
    with (directory / "final.jsonl").open("w", encoding="utf-8") as lines:
        for group, families in groups.items():
            store = opener(group)
            for family in families:
                for name, arguments in reads(family):
                    lines.write(_logged(store, family, name, arguments))
            store.fsck(repair=True, grace_seconds=0)
            result.fsck.extend(str(found) for found in store.fsck(grace_seconds=0).findings)
            store.close()


def _logged(store: Store, family: str, name: str, arguments: tuple[str, ...]) -> str:
    start = time.monotonic_ns()
    outcome = make(store, family, name, arguments)
    first = json.dumps([start, family, name, arguments])
    return f"{first}\n{json.dumps([time.monotonic_ns(), outcome])}\n"
