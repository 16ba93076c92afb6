"""A pusher, a deleter, a server may be killed at any step: what is left is known, and put right.

Enumerated, not sampled: before and after each change of either store, and in the middle of each
write, the process is killed. `services.crashing` does it, in a process of its own. The short form
takes each third step on a disk, and each sixth on a bucket and where it is a server that dies; the
long one (`nox -s long`) takes all of them, of every scenario on every kind of root.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from services import forking, s3
from services.crashing import SCENARIOS, SERVER

PATIENCE_SECONDS = 280
"""For all steps of a short form, on a machine with other things to do."""

LONG_PATIENCE_SECONDS = 3_600
"""For all steps of a long form."""

SHORT_STRIDE = 6
"""Of the dear scenarios, the short form takes each so many-th step, and the end."""

STEPS = {
    "push": 19, "push again": 9, "delete": 19, "delete model": 19, "upload": 17, "register": 11,
    "copy": 5, "remove upload": 8, SERVER: 44,
}  # fmt: skip
"""At how many steps each scenario is stopped on a disk, its end included: none is passed over."""


def crash(
    store: str, artifacts: str, *scenarios: str, stride: int = 1, patience: int = PATIENCE_SECONDS
) -> list[dict[str, Any]]:
    """What is left after each step of the scenarios."""
    done = forking.run(
        *("services.crashing", str(stride), store, artifacts, *scenarios), seconds=patience
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


def assert_all_steps_were_taken(
    found: list[dict[str, Any]], scenario: str, stride: int = 1
) -> None:
    """Up to the end of the scenario, and no fewer than there are."""
    steps = [left for left in found if left["scenario"] == scenario]
    assert [left["ended"] for left in steps] == [False] * (len(steps) - 1) + [True]
    assert [left["step"] for left in steps] == list(range(1, steps[-1]["step"] + 1, stride))
    assert steps[-1]["step"] >= STEPS[scenario]


def check(found: list[dict[str, Any]], *scenarios: str, stride: int = 1) -> None:
    """Each step of the scenarios left what is known, and was put right."""
    for scenario in scenarios:
        assert_all_steps_were_taken(found, scenario, stride)
    for left in found:
        assert_known_and_put_right(left)


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long, id="every step")])
def test_process_killed_at_any_step(stride: int) -> None:
    """Pushing, deleting with the garbage, uploading, registering and copying, on a disk."""
    found = crash("sqlite:///{d}/registry.db", "{d}/artifacts", *SCENARIOS, stride=stride)
    check(found, *SCENARIOS, stride=stride)
    assert any(left["truth"] for left in found), "the kills left nothing to find"


def urls_on_s3(endpoint_url: str, store: str) -> tuple[str, str]:
    """The files in a bucket, the metadata in a database, or beside them."""
    bucket = s3.store_url(endpoint_url, "crash-NAME").replace("NAME", "{n}")
    metadata = "sqlite:///{d}/registry.db" if store == "sqlite" else bucket
    return metadata, bucket.replace("{n}", "{n}/artifacts")


def test_process_killed_at_steps_on_s3(s3_server: Any) -> None:
    """The files in a bucket, the metadata in a database."""
    urls = urls_on_s3(s3_server.endpoint_url, "sqlite")
    check(crash(*urls, "push", stride=SHORT_STRIDE), "push", stride=SHORT_STRIDE)


@pytest.mark.long
@pytest.mark.parametrize("store", ["sqlite", "s3"])
def test_process_killed_at_any_step_on_s3(s3_server: Any, store: str) -> None:
    """Every scenario, the metadata in a database, or beside the files."""
    scenarios = (*SCENARIOS, SERVER)
    urls = urls_on_s3(s3_server.endpoint_url, store)
    check(crash(*urls, *scenarios, patience=LONG_PATIENCE_SECONDS), *scenarios)


@pytest.mark.parametrize(
    "stride", [SHORT_STRIDE, pytest.param(1, marks=pytest.mark.long, id="every step")]
)
def test_server_killed_at_any_step(stride: int) -> None:
    """While a client uploads, registers, removes and deletes through it."""
    found = crash("sqlite:///{d}/registry.db", "{d}/artifacts", SERVER, stride=stride)
    check(found, SERVER, stride=stride)
