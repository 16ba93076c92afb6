"""Short runs under fire, for every change; `nox -s chaos` makes long ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos.sql import Plan, Result, endure_postgresql, endure_sqlite

SEED = int(os.environ.get("CHAOS_SEED", "20261125"))


def check(result: Result) -> None:
    print(f"seed {result.plan.seed}\n{result.table()}")
    assert result.verdict.violations == {}
    assert result.verdict.undecided == ()
    assert result.findings == []
    assert set(result.faults.values()) == {1}
    assert result.verdict.acknowledged > 0
    assert result.probes > 0


@pytest.mark.parametrize("endure", [endure_postgresql, endure_sqlite])
def test_a_server_on_sql_keeps_its_promises_under_fire(endure, tmp_path: Path) -> None:
    """Each kind of fault strikes once, while clients write; the server recovers by itself."""
    # How fast it recovers, a busy machine would decide.
    plan = Plan(seed=SEED, faults=1, clients=3, pause_seconds=0.2, recovery_seconds=60)
    check(endure(plan, tmp_path))
