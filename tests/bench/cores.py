"""Processes held to a share of a core each, by the control groups of Linux (version 1 or 2).

Two workers of one server compete with the load generator and with the database for the cores of
one machine. Held to a share of a core that leaves these enough, each of them has what a machine with
cores to spare would give.
"""

import contextlib
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 10_000
"""Short, so that nobody stands still for longer than a request takes under load."""


def can_hold():
    """Whether this machine lets us."""
    with contextlib.ExitStack() as stack:
        try:
            _group(stack, "bench-probe", 1.0)
        except OSError:
            return False
        return True


def hold(stack, pids, share):
    """Holds each of the processes to that share of a core, until `stack` is left."""
    for pid in pids:
        group = _group(stack, f"bench-{pid}", share)
        members = group / "cgroup.procs"
        members.write_text(str(pid))
        stack.callback(_give_back, pid)


def _give_back(pid):
    with contextlib.suppress(OSError):  # it has ended
        (_parent() / "cgroup.procs").write_text(str(pid))


def _parent():
    version_1 = ROOT / "cpu"
    return version_1 if version_1.is_dir() else ROOT


def _group(stack, name, share):
    group = _parent() / name
    group.mkdir()
    stack.callback(group.rmdir)
    quota = round(PERIOD_US * share)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    return group
