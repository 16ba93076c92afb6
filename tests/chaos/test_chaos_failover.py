"""Short failovers, for every change; `nox -s chaos -- --part failover` makes more of all kinds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos.failover import endure_by_hosts, endure_by_proxy
from chaos.sql import Plan

SEED = int(os.environ.get("CHAOS_SEED", "20261128"))


@pytest.mark.parametrize(
    ("endure", "kinds"),
    [(endure_by_hosts, ("killed", "frozen")), (endure_by_proxy, ("frozen", "fenced"))],
)
def test_a_server_finds_the_new_primary(endure, kinds: tuple[str, ...], tmp_path: Path) -> None:
    """Nothing acknowledged is lost or made twice, no read is stale, and writes go on."""
    # How fast it recovers, a busy machine would decide; without finding out, it takes a minute.
    plan = Plan(seed=SEED, faults=1, kinds=kinds, clients=3, pause_seconds=0.1, recovery_seconds=20)
    result = endure(plan, tmp_path)
    print(f"seed {SEED}\n{result.table()}")
    assert result.verdict.violations == {}
    assert result.verdict.undecided == ()
    assert result.findings == []
    assert set(result.faults) == set(kinds)
    assert result.verdict.acknowledged > 0
    assert result.probes > 0
