"""Whatever one process does between any two requests of another, both saw one order of events.

Enumerated: every pair of operations that touch the same two names, the second one in the place of
every request of the first. The outcomes and what is left must be those of one order or the other.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from chaos import registry_model
from chaos.calls import make, names_of
from chaos.history import per_model
from chaos.linearizability import Operation, violation
from registry_core.store import Store
from registry_core.stores.s3 import S3Store
from services.opened import open_s3_store as open_store
from services.s3 import S3Server, store_url

pytestmark = pytest.mark.usefixtures("found_out")

FIRST = {
    "rename": ("rename", "a", "b"),
    "create": ("create_model", "b", "first"),
    "delete": ("delete_model", "a"),
    "list": ("list",),
}
SECOND = {
    "rename": ("rename", "a", "b"),
    "rename back": ("rename", "b", "a"),
    "create": ("create_model", "b", "second"),
    "create old": ("create_model", "a", "second"),
    "delete": ("delete_model", "a"),
    "tag": ("set_tag", "a", "k", "v"),
    "version": ("create_version", "a", "run"),
}
BEFORE = {"old": ("a",), "both": ("a", "b")}


class History:
    """Calls on stores, with their outcomes."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.calls: list[Operation] = []

    def make(self, store: Store, name: str, *words: str) -> None:
        a, b = names_of(self.family)
        arguments = tuple({"a": a, "b": b}.get(word, word) for word in words)
        start = time.monotonic_ns()
        outcome = make(store, self.family, name, arguments)
        self.calls.append(Operation(start, time.monotonic_ns(), name, arguments, outcome))

    def assert_linearizable(self) -> None:
        calls = list(per_model(self.calls))
        found = violation(
            calls, registry_model.apply, registry_model.EMPTY, is_idle=registry_model.is_idle
        )
        assert found is None


@pytest.fixture(scope="module")
def stores(s3_server: S3Server) -> Iterator[tuple[S3Store, S3Store, S3Store]]:
    """Three processes: the one that is interrupted, the one that interrupts, and a witness."""
    url = store_url(s3_server.endpoint_url, f"t-{time.time_ns():x}")
    opened = (open_store(url), open_store(url), open_store(url))
    for store in opened:
        store._bucket.ready_to_write()
    yield opened
    for store in opened:
        store.close()


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
@pytest.mark.parametrize("second", SECOND.values(), ids=list(SECOND))
@pytest.mark.parametrize("first", FIRST.values(), ids=list(FIRST))
def test_two_operations_in_between_each_other_have_an_order(
    stores: tuple[S3Store, S3Store, S3Store],
    first: tuple[str, ...],
    second: tuple[str, ...],
    before: tuple[str, ...],
) -> None:
    """One whole operation at the place of each request of another."""
    interrupted, interrupting, witness = stores
    for number in itertools.count():
        history = History(f"f{time.time_ns():x}")
        for name in before:
            history.make(interrupted, "create_model", name, f"before {name}")
        left = [number]

        def interrupt(operation: str, key: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                history.make(interrupting, *second)  # noqa: B023 called in this very turn

        interrupted.observe(interrupt)
        history.make(interrupted, *first)
        interrupted.observe(None)
        for name in names_of("x"):
            history.make(witness, "get", name[-1])
        history.make(witness, "list")
        history.assert_linearizable()
        _clean(witness, history.family)
        if left[0] >= 0:
            break


def _clean(store: Store, family: str) -> None:
    for name in names_of(family):
        make(store, family, "delete_model", (name,))
