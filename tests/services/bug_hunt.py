"""A pytest plugin that runs the kit on buggy stores and writes down what caught each of them.

A store is left alone once a test has failed on it: one is enough.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Container
from pathlib import Path

import pytest

from registry_core.stores.memory import MemoryStore
from registry_core.testing import (
    ManualClock,
    durability,
    model_versions,
    paging,
    registered_models,
    webhooks,
)
from registry_core.testing.ages import AgeTests
from services import forgetful_stores  # noqa: F401 its stores join BUGS
from services.buggy_stores import BUGS
from services.pickled_store import PickledStore

CONTROLS = (MemoryStore, PickledStore)
"""What the buggy stores are made of; nothing may catch them, or it would not be the bugs."""

REPORT = "BUG_HUNT_REPORT"
"""The variable that names the file for the report."""

_caught: defaultdict[str, list[str]] = defaultdict(list)


FORGETFUL = tuple(bug for bug, part in BUGS.items() if part is AgeTests)
"""Stores that are right as long as no time passes."""

ONE_OF_EACH = tuple(
    next(bug for bug in FORGETFUL if issubclass(bug, PickledStore) is is_pickled)
    for is_pickled in (False, True)
)
"""Of the forgetful stores, one in memory and one that keeps its data."""

PARTS = tuple(dict.fromkeys(BUGS.values()))

WITHOUT_JUMPS = (
    registered_models.RegisteredModelTests,
    model_versions.ModelVersionTests,
    paging.PagingTests,
    webhooks.WebhookTests,
    durability.DurabilityTests,
)
"""The parts that are about what the forgetful stores do wrong, but let no time pass."""


def some_of_each_part(stride: int) -> list[type]:
    """Of the bugs that a part of the kit should catch, each so many-th; of each part one at least."""
    return [
        bug
        for part in PARTS
        for bug in [bug for bug, catching in BUGS.items() if catching is part][::stride]
    ]


def hunts(stride: int) -> dict[str, type]:
    """A test class for each of some bugs, and for each control one for each so many-th part."""
    return {
        f"Test{bug.__name__}": _hunt(bug, (BUGS[bug],)) for bug in some_of_each_part(stride)
    } | {f"Test{control.__name__}": _hunt(control, PARTS[::stride]) for control in CONTROLS}


def hunts_without_jumps(names: Container[str]) -> dict[str, type]:
    """A test class for each forgetful store named, with parts of the kit that must not notice."""
    return {
        f"Test{bug.__name__}": _hunt(bug, WITHOUT_JUMPS)
        for bug in FORGETFUL
        if bug.__name__ in names
    }


def _hunt(bug: type, parts: tuple[type, ...]) -> type:
    def memory(_: object, clock: ManualClock):
        return bug(clock)

    def pickled(_: object, clock: ManualClock, tmp_path: Path):
        return bug(tmp_path / "store", clock)

    def reopen(_: object, clock: ManualClock, tmp_path: Path):
        return lambda: bug(tmp_path / "store", clock)

    def opener(_: object):
        pytest.skip("the tests with processes are slow, and these bugs show without")

    if not issubclass(bug, PickledStore):
        members = {"durable": False, "shared": False, "backend": pytest.fixture(memory)}
    else:
        members = {
            "backend": pytest.fixture(pickled),
            "reopen": pytest.fixture(reopen),
            "opener": pytest.fixture(opener),
        }
    return type(f"Test{bug.__name__}", parts, members)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _caught[item.parent.name]:
        pytest.skip("caught")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.failed:
        _caught[item.parent.name].append(f"{report.when} {item.name}: {report.longreprtext[-300:]}")
    return report


def pytest_sessionfinish() -> None:
    Path(os.environ[REPORT]).write_text(json.dumps(_caught))
