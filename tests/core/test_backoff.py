"""The pauses between the attempts at one thing."""

from __future__ import annotations

import ast
import itertools
import time
from pathlib import Path
from statistics import fmean

import pytest

from registry_core.backoff import Backoff

PACKAGES = Path(__file__).parents[2] / "packages"
TRIES = 2_000


def test_the_ceiling_doubles_up_to_the_longest_pause():
    backoff = Backoff(first_seconds=0.5, longest_seconds=3.0)
    assert [backoff.ceiling(failures) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_any_number_of_failures_has_a_ceiling():
    assert Backoff(first_seconds=0.5, longest_seconds=3.0).ceiling(1_000_000) == 3.0


@pytest.mark.parametrize("failures", [1, 3, 10])
def test_a_pause_is_drawn_evenly_from_zero_to_the_ceiling(failures):
    backoff = Backoff(first_seconds=1.0, longest_seconds=8.0)
    ceiling = backoff.ceiling(failures)
    pauses = [backoff.pause(failures) for _ in range(TRIES)]
    assert 0 <= min(pauses) < 0.05 * ceiling
    assert 0.95 * ceiling < max(pauses) <= ceiling
    assert fmean(pauses) == pytest.approx(ceiling / 2, rel=0.1)


def test_pauses_grow_and_end_at_the_deadline(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(Backoff, "pause", Backoff.ceiling)
    waited = []
    for pause in Backoff(first_seconds=1.0, longest_seconds=4.0).pauses(until=110.0):
        waited.append(pause)
        now += pause
    assert waited == [1.0, 2.0, 4.0, 4.0]


def test_there_is_no_pause_after_the_deadline():
    assert not list(Backoff(first_seconds=1, longest_seconds=1).pauses(until=time.monotonic()))


def test_a_negative_pause_is_refused():
    with pytest.raises(ValueError, match="first_seconds"):
        Backoff(first_seconds=-1, longest_seconds=1)


def test_no_other_module_draws_a_pause():
    """A loop with a rule of its own would be a second place to get it wrong."""
    drawing = {
        path.name
        for path in itertools.chain(PACKAGES.rglob("*.py"))
        if "uniform" in (text := path.read_text())
        and any(
            isinstance(node, ast.Attribute) and node.attr == "uniform"
            for node in ast.walk(ast.parse(text))
        )
    }
    # Not pauses: `operations` spreads the work of pruning, `attempts` adds MLflow's own jitter.
    assert drawing == {"backoff.py", "operations.py", "attempts.py"}
