"""A pytest plugin that runs the kit on buggy stores and writes down what caught each of them.

A store is left alone once a test has failed on it: one is enough.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from services.buggy_stores import BUGS
from services.pickled_store import PickledStore

CONTROLS = (MemoryStore, PickledStore)
"""What the buggy stores are made of; nothing may catch them, or it would not be the bugs."""

REPORT = "BUG_HUNT_REPORT"
"""The variable that names the file for the report."""

_caught: defaultdict[str, list[str]] = defaultdict(list)


def hunts() -> dict[str, type]:
    """A test class for each buggy store, and for each control one for every part that hunts."""
    parts = tuple(dict.fromkeys(BUGS.values()))
    return {f"Test{bug.__name__}": _hunt(bug, (part,)) for bug, part in BUGS.items()} | {
        f"Test{control.__name__}": _hunt(control, parts) for control in CONTROLS
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
        members = {"durable": False, "shared": False, "store": pytest.fixture(memory)}
    else:
        members = {
            "store": pytest.fixture(pickled),
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
