"""A pusher, a deleter, a server may be killed at any step: what is left is known, and put right.

Enumerated, not sampled: before and after each change of either store, and in the middle of each
write, the process is killed. `services.crashing` does it, in a process of its own. Set
`REGISTRY_TEST_ALL_CRASHES` to have every scenario on a bucket, too, which takes many minutes and
needs `-o faulthandler_timeout=3600`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services import s3
from services.crashing import SCENARIOS, SERVER

TESTS = Path(__file__).parents[1]

PATIENCE_SECONDS = 3600 if "REGISTRY_TEST_ALL_CRASHES" in os.environ else 600
"""For all steps, on a machine with other things to do."""

STEPS = {
    "push": 19, "push again": 9, "delete": 19, "delete model": 19, "upload": 17, "register": 11,
    "copy": 5, "remove upload": 8, SERVER: 44,
}  # fmt: skip
"""At how many steps each scenario is stopped on a disk, its end included: none is passed over."""

ALL = "REGISTRY_TEST_ALL_CRASHES" in os.environ
"""Every scenario on every kind of root: minutes."""

ON_S3 = [
    ("sqlite", (*SCENARIOS, SERVER) if ALL else ("push",)),
    *([("s3", (*SCENARIOS, SERVER))] if ALL else ()),
]


def crash(store: str, artifacts: str, *scenarios: str) -> list[dict[str, Any]]:
    """What is left after each step of the scenarios."""
    done = subprocess.run(
        [sys.executable, "-m", "services.crashing", store, artifacts, *scenarios],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_known_and_put_right(left: dict[str, Any]) -> None:
    """Fsck tells the truth; after a repair nothing is wrong, and the act can be done again."""
    where = (left["scenario"], left["step"])
    assert (where, left["reported"]) == (where, left["truth"])
    assert (where, left["left"], left["broken"]) == (where, [], [])
    assert "PENDING_REGISTRATION" not in left["statuses"], where
    assert (where, left.get("after", [])) == (where, [])


def assert_all_steps_were_taken(found: list[dict[str, Any]], scenario: str, least: int) -> None:
    """Up to the end of the scenario, in which something was wrong on the way."""
    steps = [left for left in found if left["scenario"] == scenario]
    assert [left["ended"] for left in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) >= least


def test_process_killed_at_any_step() -> None:
    """Pushing, deleting with the garbage, uploading, registering and copying, on a disk."""
    found = crash("sqlite:///{d}/registry.db", "{d}/artifacts", *SCENARIOS)
    for scenario in SCENARIOS:
        assert_all_steps_were_taken(found, scenario, STEPS[scenario])
    for left in found:
        assert_known_and_put_right(left)
    assert any(left["truth"] for left in found), "the kills left nothing to find"


@pytest.mark.parametrize(("store", "scenarios"), ON_S3)
def test_process_killed_at_any_step_on_s3(
    s3_server: Any, store: str, scenarios: tuple[str, ...]
) -> None:
    """The files in a bucket, the metadata in a database, or beside them."""
    bucket = s3.store_url(s3_server.endpoint_url, "crash-NAME").replace("NAME", "{n}")
    metadata = "sqlite:///{d}/registry.db" if store == "sqlite" else bucket
    found = crash(metadata, bucket.replace("{n}", "{n}/artifacts"), *scenarios)
    for scenario in scenarios:
        assert_all_steps_were_taken(found, scenario, STEPS[scenario])
    for left in found:
        assert_known_and_put_right(left)


def test_server_killed_at_any_step() -> None:
    """While a client uploads, registers, removes and deletes through it."""
    found = crash("sqlite:///{d}/registry.db", "{d}/artifacts", SERVER)
    assert_all_steps_were_taken(found, SERVER, STEPS[SERVER])
    for left in found:
        assert_known_and_put_right(left)
