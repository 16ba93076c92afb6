"""The kit fails on wrong stores: each of many seeded bugs is caught by the part that should."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from registry_core.testing.stateful import store_machine
from services import bug_hunt, buggy_stores

TESTS = Path(__file__).parents[1]


def test_the_kit_catches_every_seeded_bug(tmp_path):
    """In a process of its own: the tests that fail there are what is tested here."""
    report, hunt = tmp_path / "report.json", tmp_path / "test_hunt.py"
    hunt.write_text("from services.bug_hunt import hunts\nglobals().update(hunts())\n")
    plugins = ["-p", "services.bug_hunt", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=line", "--assert=plain", *plugins, str(hunt)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), bug_hunt.REPORT: str(report)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    caught = json.loads(report.read_text())
    controls = {
        control.__name__: caught[f"Test{control.__name__}"] for control in bug_hunt.CONTROLS
    }
    assert controls == {"MemoryStore": [], "PickledStore": []}, "failed without a bug"
    missed = [bug.__name__ for bug in buggy_stores.BUGS if not caught[f"Test{bug.__name__}"]]
    assert missed == []
    beside = {
        name: failures
        for name, failures in caught.items()
        if failures and not failures[0].startswith("call ")
    }
    assert beside == {}, "failed in a fixture, which proves nothing"


@pytest.mark.parametrize(
    "bug",
    [
        buggy_stores.ReusesNumbers,
        buggy_stores.DeletionKeepsAliases,
        buggy_stores.LikeFoldsCase,
    ],
)
def test_the_machine_catches_seeded_bugs(bug):
    """Random steps find them as well."""
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            store_machine(bug),
            settings=settings(
                max_examples=100,
                stateful_step_count=30,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
