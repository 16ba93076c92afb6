"""The history checker finds what it is there to find: a test that cannot fail proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.history import per_model
from chaos.linearizability import UNKNOWN, Operation, violation
from chaos.registry_model import DONE, EMPTY, EXISTS, NOT_FOUND, Model, apply, view

BORN = (("t", "born"),)


def call(start: int, end: int | None, name: str, *arguments: Any, gives: Any) -> Operation:
    return Operation(start, end, name, arguments, gives)


CREATED = call(0, 1, "create_model", "m", "born", gives=DONE)


def is_linearizable(*calls: Operation) -> bool:
    return violation(list(per_model([CREATED, *calls])), apply, EMPTY) is None


def shown(**fields: Any) -> Any:
    return view(Model(tags=BORN, **fields))


def test_calls_one_after_the_other_are_fine() -> None:
    """Whoever made them."""
    assert is_linearizable(
        call(2, 3, "create_version", "m", "r1", gives=1),
        call(4, 5, "create_version", "m", "r2", gives=2),
        call(6, 7, "delete_version", "m", 2, gives=DONE),
        call(8, 9, "create_version", "m", "r3", gives=3),
        call(10, 11, "get_versions", "m", gives=((1, "r1", "None", ()), (3, "r3", "None", ()))),
    )


def test_calls_at_the_same_time_may_have_any_order() -> None:
    """Two creators, and a reader who saw only one of them."""
    assert is_linearizable(
        call(2, 9, "create_version", "m", "r1", gives=2),
        call(3, 8, "create_version", "m", "r2", gives=1),
        call(4, 7, "get_versions", "m", gives=((1, "r2", "None", ()),)),
    )


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "get_versions", "m", gives=()),
            ],
            id="a lost write",
        ),
        pytest.param(
            [
                call(2, 3, "set_tag", "m", "k", "old", gives=DONE),
                call(4, 5, "set_tag", "m", "k", "new", gives=DONE),
                call(6, 7, "get", "m", gives=((("k", "old"), *BORN), (), ())),
            ],
            id="a stale read",
        ),
        pytest.param(
            [
                call(2, 9, "create_version", "m", "r1", gives=1),
                call(3, 8, "create_version", "m", "r2", gives=1),
            ],
            id="a number twice",
        ),
        pytest.param(
            [call(2, 3, "create_version", "m", "r1", gives=2)],
            id="a number left out",
        ),
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "delete_version", "m", 1, gives=DONE),
                call(6, 7, "create_version", "m", "r2", gives=1),
            ],
            id="a number reused",
        ),
        pytest.param(
            [
                call(2, 9, "delete_model", "m", gives=DONE),
                call(3, 8, "delete_model", "m", gives=DONE),
            ],
            id="deleted twice",
        ),
        pytest.param(
            [call(2, 3, "create_model", "m", "again", gives=DONE)],
            id="created twice",
        ),
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "set_alias", "m", "a", 1, gives=DONE),
                call(6, 7, "delete_version", "m", 1, gives=DONE),
                call(8, 9, "get_by_alias", "m", "a", gives=1),
            ],
            id="half of a delete",
        ),
        pytest.param(
            [
                call(2, 3, "rename", "m", "n", gives=DONE),
                call(4, 5, "list", gives=()),
            ],
            id="a renamed model in no listing",
        ),
        pytest.param(
            [
                call(2, 9, "rename", "m", "n", gives=DONE),
                call(3, 8, "list", gives=(("m", shown()), ("n", shown()))),
            ],
            id="a renamed model twice in a listing",
        ),
        pytest.param(
            [call(2, 3, "list", gives=(("m", shown()), ("ghost", ((("t", "x"),), (), ()))))],
            id="a model that nobody created",
        ),
        pytest.param(
            [
                call(2, 9, "rename", "m", "n", gives=DONE),
                call(3, 8, "rename", "m", "n", gives=EXISTS),
            ],
            id="a rename that met itself",
        ),
        pytest.param(
            [
                call(2, None, "set_tag", "m", "k", "v", gives=UNKNOWN),
                call(4, 5, "get", "m", gives=((("k", "v"), *BORN), (), ())),
                call(6, 7, "get", "m", gives=(BORN, (), ())),
            ],
            id="an unknown write that was seen and vanished",
        ),
    ],
)
def test_a_broken_promise_is_found(calls: list[Operation]) -> None:
    """Each of them once, among calls that are fine."""
    assert not is_linearizable(*calls)


@pytest.mark.parametrize("happened", [True, False])
def test_a_call_with_unknown_outcome_may_have_happened_or_not(happened: bool) -> None:
    """Also long after it was made."""
    versions = ((1, "r1", "None", ()),) if happened else ()
    assert is_linearizable(
        call(2, None, "create_version", "m", "r1", gives=UNKNOWN),
        call(4, 5, "get_versions", "m", gives=()),
        call(6, 7, "get_versions", "m", gives=versions),
        call(8, 9, "get", "absent", gives=NOT_FOUND),
    )


def test_a_violation_says_how_far_the_history_goes() -> None:
    """And which calls did not fit."""
    stale = call(6, 7, "get_versions", "m", gives=())
    found = violation(
        [CREATED, call(2, 3, "create_version", "m", "r1", gives=1), stale], apply, EMPTY
    )
    assert found is not None
    assert (found.explained, found.total, found.stuck) == (2, 3, (stale,))
