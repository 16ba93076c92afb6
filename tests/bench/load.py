"""Load from a compiled generator, and what it costs the server: requests/s, latency, CPU, memory."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import attrs

SCRIPT = Path(__file__).with_name("wrk.lua")
MLFLOW = "mlflow"
"""The name of the target that is not ours."""

_TICKS = os.sysconf("SC_CLK_TCK")

WARM_UP_SECONDS = 1
"""Of load before anything is measured."""

LEAST = 5
"""Answers that a measurement needs; one with fewer is repeated with more time."""

PATIENCE_SECONDS = 30
"""The most time that a measurement is given."""

SETTLED_SECONDS = 0.2
"""How long a server has to be idle before the next one is measured."""


@attrs.frozen(kw_only=True)
class Target:
    """A server under load; the CPU time of `pid` and all it started is the cost of a request."""

    name: str
    url: str
    pid: int
    database_pid: int | None = None


@attrs.frozen(kw_only=True)
class Figures:
    """What one run measured, or the medians of several."""

    requests_per_second: float
    cpu_us: float
    database_cpu_us: float
    p50_us: float
    p99_us: float
    failed: float
    """Requests that were not answered with success, of all."""
    total: float


def require(*programs):
    """Ends the run with a sentence when a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise SystemExit(f"The benchmark needs {program}, a package of most distributions.")


def run(target, operation, *, connections, seconds):
    """Drives one operation for so long, in whole seconds."""
    before = cpu_seconds(target.pid), cpu_seconds(target.database_pid)
    done = subprocess.run(
        [
            "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
            "-s", str(SCRIPT), target.url, "--", operation.method, operation.path, operation.body,
            # Names of different runs differ by the time at which they were made.
            str(time.time_ns() // 10**6),
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    after = cpu_seconds(target.pid), cpu_seconds(target.database_pid)
    _settle(target)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    answered = max(1, found["requests"])
    return Figures(
        requests_per_second=found["requests"] / found["seconds"],
        cpu_us=(after[0] - before[0]) / answered * 1e6,
        database_cpu_us=(after[1] - before[1]) / answered * 1e6,
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        failed=found["failed"],
        total=found["requests"],
    )


def _settle(target):
    """Waits until the server is done with what it was asked for and nobody waits for any more.

    It would else go on at the expense of the next one: 32 pages take MLflow four seconds.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    busy = True
    while busy and time.monotonic() < deadline:
        before = cpu_seconds(target.pid)
        time.sleep(SETTLED_SECONDS)
        busy = cpu_seconds(target.pid) - before > SETTLED_SECONDS / 10


def in_turns(pairs, *, connections, seconds, rounds):
    """The medians for each pair of target and operation; they take turns, several times.

    Each is driven for a moment beforehand, which does not count: what connects, compiles or plans
    at the first request of its kind has done so.

    Raises:
        SystemExit: a request to a server of ours failed.
    """
    found = [[] for _ in pairs]
    times = [seconds for _ in pairs]
    for target, operation in pairs:
        run(target, operation, connections=connections, seconds=WARM_UP_SECONDS)
    for _ in range(rounds):
        for at, (target, operation) in enumerate(pairs):
            one = run(target, operation, connections=connections, seconds=times[at])
            while one.total < LEAST and times[at] < PATIENCE_SECONDS:
                # It stays so slow: the next round begins with this.
                times[at] = min(4 * times[at], PATIENCE_SECONDS)
                one = run(target, operation, connections=connections, seconds=times[at])
            if one.failed:
                _tell(one, target, operation)
            found[at].append(one)
    return [medians(figures) for figures in found]


def _tell(figures, target, operation):
    text = f"{operation.name}: {figures.failed} requests failed on {target.name}"
    text += f", {figures.total} were answered"
    if target.name != MLFLOW:
        raise SystemExit(text)
    # That it fails under load is a figure of the other server, and no reason to stop.
    print(text, file=sys.stderr)


def medians(found):
    """The median of each figure."""
    return {
        field.name: round(statistics.median(getattr(one, field.name) for one in found), 1)
        for field in attrs.fields(Figures)
    }


def cpu_seconds(pid):
    """User and system time of a process and its descendants; none for no process."""
    if pid is None:
        return 0.0
    ticks = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Of itself, and of the children that have ended.
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def pss_mib(pid):
    """The memory of a process and its descendants, shared pages counted in part, in MiB."""
    return sum(own_pss_mib(member) for member in family(pid))


def own_pss_mib(pid):
    """The memory of one process, shared pages counted in part, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def family(pid):
    """The process and all its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    members = [pid]
    for member in members:
        members += parents.get(member, [])
    return members
