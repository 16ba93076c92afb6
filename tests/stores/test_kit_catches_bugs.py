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
from services import bug_hunt, buggy_stores, forgetful_stores

TESTS = Path(__file__).parents[1]


def hunt(tmp_path: Path, classes: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code of pytest on these classes, and what failed on each store.

    In a process of its own: the tests that fail there are what is tested here.
    """
    report, tests = tmp_path / "report.json", tmp_path / "test_hunt.py"
    tests.write_text(f"from services import bug_hunt\nglobals().update(bug_hunt.{classes}())\n")
    plugins = ["-p", "services.bug_hunt", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=line", "--assert=plain", *plugins, str(tests)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), bug_hunt.REPORT: str(report)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    return ran.returncode, json.loads(report.read_text())


def test_the_kit_catches_every_seeded_bug(tmp_path):
    """By the part that should; and nothing is caught in a store without one."""
    code, caught = hunt(tmp_path, "hunts")
    assert code == 1
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


def test_some_bugs_show_only_when_time_passes(tmp_path):
    """Without a clock that jumps the kit would find nothing wrong with these stores."""
    code, caught = hunt(tmp_path, "hunts_without_jumps")
    assert caught == {f"Test{bug.__name__}": [] for bug in bug_hunt.FORGETFUL}
    assert (code, len(caught)) == (0, len(bug_hunt.FORGETFUL))


@pytest.mark.parametrize(
    "bug",
    [
        buggy_stores.ReusesNumbers,
        buggy_stores.DeletionKeepsAliases,
        buggy_stores.LikeFoldsCase,
        forgetful_stores.FreesNamesThatNobodyUses,
        forgetful_stores.TheLatestTimeWins,
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
