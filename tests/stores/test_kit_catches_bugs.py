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
from services.examples import one_of

TESTS = Path(__file__).parents[1]


def hunt(tmp_path: Path, call: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code of pytest on these classes, and what failed on each store.

    In a process of its own: the tests that fail there are what is tested here.
    """
    report, tests = tmp_path / "report.json", tmp_path / "test_hunt.py"
    tests.write_text(f"from services import bug_hunt\nglobals().update(bug_hunt.{call})\n")
    plugins = ["-p", "services.bug_hunt", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=line", "--assert=plain", *plugins, str(tests)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the kit needs none, and some take seconds
            bug_hunt.REPORT: str(report),
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    return ran.returncode, json.loads(report.read_text())


@pytest.mark.scaled
def test_the_kit_catches_every_seeded_bug(tmp_path):
    """By the part that should; and nothing is caught in a store without one. Here, a sixth of them.

    A sixth of the parts looks for bugs in stores that have none; all of them pass in test_memory.py.
    """
    code, caught = hunt(tmp_path, f"hunts({one_of(6)})")
    assert code == 1
    controls = {
        control.__name__: caught[f"Test{control.__name__}"] for control in bug_hunt.CONTROLS
    }
    assert controls == {"MemoryStore": [], "PickledStore": []}, "failed without a bug"
    hunted = bug_hunt.some_of_each_part(one_of(6))
    missed = [bug.__name__ for bug in hunted if not caught[f"Test{bug.__name__}"]]
    assert missed == []
    beside = {
        name: failures
        for name, failures in caught.items()
        if failures and not failures[0].startswith("call ")
    }
    assert beside == {}, "failed in a fixture, which proves nothing"


@pytest.mark.parametrize(
    "bugs",
    [
        pytest.param(bug_hunt.ONE_OF_EACH[:1], id="one in memory"),
        pytest.param(bug_hunt.ONE_OF_EACH, id="one of each kind", marks=pytest.mark.long),
        pytest.param(bug_hunt.FORGETFUL, id="all", marks=pytest.mark.long),
    ],
)
def test_some_bugs_show_only_when_time_passes(tmp_path, bugs):
    """Without a clock that jumps the kit would find nothing wrong with these stores."""
    names = [bug.__name__ for bug in bugs]
    code, caught = hunt(tmp_path, f"hunts_without_jumps({names})")
    assert caught == {f"Test{name}": [] for name in names}
    assert (code, len(caught)) == (0, len(bugs))


@pytest.mark.parametrize(
    "bug",
    [
        buggy_stores.ReusesNumbers,
        buggy_stores.DeletionKeepsAliases,
        # These take many examples to be found.
        pytest.param(forgetful_stores.FreesNamesThatNobodyUses, marks=pytest.mark.long),
        pytest.param(buggy_stores.LikeFoldsCase, marks=pytest.mark.long),
        pytest.param(forgetful_stores.TheLatestTimeWins, marks=pytest.mark.long),
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
